import { randomUUID } from 'node:crypto';
import type { BaseConfig } from '../../config/index.js';
import type { RedisClient, RedisFinding } from '../../redis/index.js';
import { commandRedis, inspectRedis } from '../../redis/index.js';
import { checkDurability } from './durability.js';
import { type DoctorFinding, fail, ok, throwIfSilent, warn } from './finding.js';

/** Looks at Redis: whether it is there, whether it keeps what it is given, and whether we may do what we have to. */
export async function checkRedis(config: BaseConfig): Promise<DoctorFinding[]> {
  let redis: RedisClient;
  try {
    redis = await commandRedis(config.redis);
  } catch (error) {
    return [fail('redis', `${(error as Error).message}; check REDIS_URL, and whether Redis runs there`)];
  }
  try {
    const found = await inspectRedis(redis);
    // A replica refuses each write, which says nothing about permissions.
    const isReplica = found.some(({ severity }) => severity === 'replica');
    return [
      ...serverFindings(found),
      ...(await checkDurability(redis)),
      ...(isReplica ? [] : await checkPermissions(redis, config)),
    ];
  } catch (error) {
    return [fail('redis', (error as Error).message)];
  } finally {
    redis.disconnect();
  }
}

function serverFindings(findings: readonly RedisFinding[]): DoctorFinding[] {
  if (findings.length === 0) return [ok('redis', 'it answers, drops no keys, and has an append-only file')];
  return findings.map(({ severity, message }) => (severity === 'warn' ? warn : fail)('redis', message));
}

/** Does what the queue and the stream need, on keys of its own that are gone afterwards. */
async function checkPermissions(redis: RedisClient, { queue, events }: BaseConfig): Promise<DoctorFinding[]> {
  const probe = randomUUID();
  const key = `${queue.prefix}:${queue.name}:doctor-${probe}`;
  const stream = `${events.stream}:doctor-${probe}`;
  const attempts: Record<string, () => Promise<unknown>> = {
    hashes: () => redis.hset(key, 'a', '1'),
    'sorted sets': () => redis.zadd(`${key}:zset`, 1, 'a'),
    lists: () => redis.lpush(`${key}:list`, 'a'),
    streams: () => redis.xadd(stream, '*', 'a', '1'),
    scripts: () => redis.eval("return redis.call('SET', KEYS[1], '1', 'PX', 1000)", 1, `${stream}:memory`),
  };
  const refused: string[] = [];
  let other: string | undefined;
  for (const [name, attempt] of Object.entries(attempts)) {
    await attempt().catch((error: Error) => {
      throwIfSilent(error);
      if (!error.message.includes('NOPERM')) other ??= error.message;
      refused.push(`${name} (${error.message})`);
    });
  }
  // One at a time, as they may lie in different slots; each expires or was never there if this is refused.
  for (const used of [key, `${key}:zset`, `${key}:list`, stream, `${stream}:memory`]) {
    await redis.del(used).catch(() => {});
  }
  if (refused.length === 0) {
    return [ok('redis permissions', `tried and allowed: ${Object.keys(attempts).join(', ')}`)];
  }
  // Out of memory, say: what is permitted cannot be found out then.
  if (other !== undefined) return [fail('redis', `it refuses writes: ${other}`)];
  return [
    fail(
      'redis permissions',
      `refused: ${refused.join('; ')}. The user needs ${queue.prefix}:* and ${events.stream}*, all data commands and scripts`,
    ),
  ];
}
