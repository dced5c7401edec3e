import type { ClusterOptions, Redis, RedisOptions } from 'ioredis';
import { checkConnection, isCluster, type RedisClient, type RedisConnection } from './client.js';

/** Where to connect and as whom; all else that a service has set on its connection is for its own commands. */
const KEPT: readonly string[] = [
  'host',
  'port',
  'path',
  'family',
  'username',
  'password',
  'tls',
  'natMap',
  'Connector',
  // How it introduces itself: permissions may depend on it.
  'connectionName',
  'disableClientInfo',
  'clientInfoTag',
  'protocol',
  'enableReadyCheck',
  'sentinels',
  'name',
  'role',
  'preferredSlaves',
  'sentinelUsername',
  'sentinelPassword',
  'sentinelTLS',
  'enableTLSForSentinelMode',
  'updateSentinels',
  'sentinelMaxConnections',
  'failoverDetector',
] satisfies (keyof RedisOptions | 'preferredSlaves')[];

const KEPT_OF_CLUSTER: readonly string[] = [
  'natMap',
  'dnsLookup',
  'useSRVRecords',
  'resolveSrv',
  'enableReadyCheck',
  'slotsRefreshTimeout',
  'slotsRefreshInterval',
] satisfies (keyof ClusterOptions)[];

/** In a failover commands are sent again and again until the new master is known: that takes seconds, seldom minutes. */
export const CLUSTER_RETRIES = { maxRedirections: 200, retryDelayOnFailover: 250, retryDelayOnClusterDown: 250 };

/** A Sentinel that is silent for longer is passed over, in milliseconds; ioredis would wait for it for ever. */
export const SENTINEL_ANSWER_MS = 2_000;

/** The pause before a service's connection is made again; it never gives up. */
export const retryForEver = (times: number) => Math.min(100 * 2 ** Math.min(times, 5), 2_000);

/** What the connections of readers need. */
const NEEDED = {
  maxRetriesPerRequest: null,
  retryStrategy: retryForEver,
  keepAlive: 10_000,
  connectTimeout: 10_000,
  sentinelCommandTimeout: SENTINEL_ANSWER_MS,
  // A server that is blocked in a read, or gone without a word, does not answer the end of a connection; it is not waited for.
  disconnectTimeout: 50,
} satisfies RedisOptions;

/**
 * A further connection to the same place, as the same user. Reads that block would hold up everything else on the connection
 * they are on, and options such as `commandTimeout`, `stringNumbers` or a `retryStrategy` that gives up would break them.
 * Commands of the copy wait for Redis, however long it is away.
 *
 * @param onError is called each time that Redis cannot be reached.
 * @throws {InvalidOptionError} if the connection cannot be used.
 */
export function copyConnection(connection: RedisConnection, onError?: (error: Error) => void): RedisClient {
  const redis = checkConnection(connection);
  const copy = isCluster(redis)
    ? redis.duplicate(undefined, {
        ...without(redis.options, KEPT_OF_CLUSTER),
        clusterRetryStrategy: retryForEver,
        ...CLUSTER_RETRIES,
        redisOptions: { ...without(redis.options.redisOptions ?? {}, KEPT), ...NEEDED },
      })
    : redis.duplicate({ ...without(redis.options, KEPT), ...NEEDED, db: currentDb(redis) });
  if (!isCluster(redis)) followLogin(copy as Redis, redis);
  copy.on('error', (error: Error) => onError?.(error));
  return copy;
}

/** Overrides that set all options but some to what ioredis has by default. */
function without(options: object, kept: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(options)
      .filter((name) => !kept.includes(name))
      .map((name) => [name, undefined]),
  );
}

/** What ioredis keeps to itself: the state of the connection, and of the last one while it reconnects. */
interface WithCondition {
  readonly condition?: { readonly select?: number } | null;
  readonly prevCondition?: { readonly select?: number } | null;
}

/** The database that was selected last, be it by an option or by `select`. */
function currentDb(redis: RedisClient): number {
  const { condition, prevCondition } = redis as unknown as WithCondition;
  return prevCondition?.select ?? condition?.select ?? (redis.options as RedisOptions).db ?? 0;
}

/** Passwords that expire are replaced on the options of the connection that the service has; a copy must not keep the old one. */
function followLogin(copy: Redis, of: Redis): void {
  const { connect } = copy;
  copy.connect = ((callback) => {
    const { username, password } = of.options;
    Object.assign(copy.options, { username, password });
    return connect.call(copy, callback);
  }) satisfies Redis['connect'];
}
