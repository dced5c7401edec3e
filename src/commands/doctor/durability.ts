import { isCluster, type RedisClient } from '../../redis/index.js';
import { type DoctorFinding, ok, throwIfSilent, warn } from './finding.js';

const SUBJECT = 'redis durability';

/** What a crash of Redis's machine may lose, by `appendfsync`; in a cluster of each master. Asks only, and changes nothing. */
export async function checkDurability(redis: RedisClient): Promise<DoctorFinding[]> {
  const servers = isCluster(redis) ? redis.nodes('master') : [redis];
  const findings = await Promise.all(
    servers.map(async (server) => {
      const where = `Redis at ${server.options.host}:${server.options.port}`;
      try {
        const [, appendonly] = (await server.config('GET', 'appendonly')) as readonly string[];
        // INFO has shown that already.
        if (appendonly === 'no') return [];
        const [, appendfsync] = (await server.config('GET', 'appendfsync')) as readonly string[];
        const [, pauses] = (await server.config('GET', 'no-appendfsync-on-rewrite')) as readonly string[];
        return [judge(where, appendfsync, pauses === 'yes')];
      } catch (error) {
        throwIfSilent(error);
        // Managed Redis has the command under another name, or not at all.
        return [notKnown(where, (error as Error).message)];
      }
    }),
  );
  return findings.flat();
}

function judge(where: string, appendfsync: string | undefined, pausesInRewrites: boolean): DoctorFinding {
  switch (appendfsync) {
    case 'always':
      if (pausesInRewrites) {
        return warn(
          SUBJECT,
          `${where} has no-appendfsync-on-rewrite yes: a crash of the machine may lose what was acknowledged while the append-only file was rewritten; set it to no to lose nothing`,
        );
      }
      return ok(SUBJECT, 'appendfsync always: what was acknowledged survives a crash of the machine');
    case 'everysec':
      return warn(
        SUBJECT,
        `${where} has appendfsync everysec: a crash of the machine may lose what was acknowledged in the last 1 to 2 s; set it to always to lose nothing`,
      );
    case 'no':
      return warn(
        SUBJECT,
        `${where} has appendfsync no: a crash of the machine may lose what was acknowledged in the last 30 s or more; set it to always to lose nothing`,
      );
    default:
      return notKnown(where, 'CONFIG GET appendfsync has no value');
  }
}

const notKnown = (where: string, why: string) =>
  warn(SUBJECT, `${where}: appendfsync was not checked (${why}); it must be always to lose nothing in a crash`);
