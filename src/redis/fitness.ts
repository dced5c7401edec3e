import { isCluster, type RedisClient } from './client.js';

/** Redis is set up so that jobs or events would be lost; it must not be used. */
export class UnfitRedisError extends Error {
  override readonly name = 'UnfitRedisError';
  readonly code = 'UNFIT_REDIS';
}

/**
 * What is wrong with how Redis is set up. `refuse`: jobs or events would be lost without a crash of anything. `replica`: it
 * takes no writes, which may pass with a failover.
 */
export interface RedisFinding {
  readonly severity: 'refuse' | 'replica' | 'warn';
  readonly message: string;
}

/** XAUTOCLAIM, which subscribers need, came with it. */
const OLDEST_VERSION = '6.2.0';

/**
 * Looks how Redis is set up whenever it is there again: another one may have taken its place.
 *
 * @param warn told of each thing that is no reason to refuse, once.
 * @returns resolves where Redis must not be used, and never otherwise.
 */
export function inspectOnceThere(redis: RedisClient, warn: (message: string) => void): Promise<UnfitRedisError> {
  const told = new Set<string>();
  return new Promise((resolve) => {
    const inspect = async () => {
      for (const { severity, message } of await inspectRedis(redis)) {
        if (severity === 'refuse') resolve(new UnfitRedisError(message));
        else if (!told.has(message)) warn(message);
        told.add(message);
      }
    };
    // Where it goes away meanwhile, it is looked at when it is back.
    const look = () => void inspect().catch(() => {});
    redis.on('ready', look);
    if (redis.status === 'ready') look();
  });
}

/**
 * What stands against using a Redis, by what INFO tells; in a cluster of each master.
 *
 * @throws where Redis does not answer.
 */
export async function inspectRedis(redis: RedisClient): Promise<RedisFinding[]> {
  const servers = isCluster(redis) ? redis.nodes('master') : [redis];
  const findings = await Promise.all(
    servers.map(async (server) => {
      const where = `Redis at ${server.options.host}:${server.options.port}`;
      try {
        return judge(where, parseInfo(await server.info()));
      } catch (error) {
        if (!(error as Error).message.startsWith('NOPERM')) throw error;
        const message = `${where}: INFO is not permitted, so it cannot be checked whether it is set up safely; docs/redis.md has the ACL`;
        return [{ severity: 'warn' as const, message }];
      }
    }),
  );
  return findings.flat();
}

function judge(where: string, info: Readonly<Record<string, string>>): RedisFinding[] {
  const findings: RedisFinding[] = [];
  const { redis_version: version, maxmemory = '0', maxmemory_policy: policy, aof_enabled: aof, role } = info;
  // What stands between us and Redis may answer INFO by itself.
  const missing = ['redis_version', 'maxmemory_policy', 'aof_enabled'].filter((name) => info[name] === undefined);
  if (missing.length > 0) {
    const message = `${where}: INFO does not show ${missing.join(', ')}, so it cannot be checked whether it is set up safely`;
    findings.push({ severity: 'warn', message });
  }
  if (role === 'slave') {
    const message = `${where} is a replica, which takes no writes: point REDIS_URL to its master`;
    findings.push({ severity: 'replica', message });
  }
  if (version !== undefined && isOlder(version, OLDEST_VERSION)) {
    findings.push({
      severity: 'refuse',
      message: `${where} is version ${version}; expected ${OLDEST_VERSION} or newer`,
    });
  }
  if (policy !== undefined && policy !== 'noeviction') {
    const advice = 'set maxmemory-policy to noeviction';
    findings.push(
      maxmemory === '0'
        ? { severity: 'warn', message: `${where} would drop keys (${policy}) if it had a maxmemory: ${advice}` }
        : {
            severity: 'refuse',
            message: `${where} drops keys when memory is short (${policy}), be they jobs or events: ${advice}`,
          },
    );
  }
  if (aof === '0') {
    const advice = 'set appendonly yes, and appendfsync always to lose nothing';
    findings.push({
      severity: 'warn',
      message: `${where} has no append-only file; what it holds is lost when it crashes: ${advice}`,
    });
  }
  return findings;
}

/** The lines `name:value` of INFO. */
function parseInfo(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .split('\r\n')
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number));
  for (let i = 0; i < 3; i += 1) {
    const difference = (a?.[i] ?? 0) - (b?.[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
