import type { Cluster, Redis, RedisOptions } from 'ioredis';

/** A connection to Redis: to one server (perhaps found by Sentinel), or to a Redis Cluster. */
export type RedisClient = Redis | Cluster;

/** Whether it is a connection to a Redis Cluster. */
export function isCluster(redis: RedisClient): redis is Cluster {
  return redis.isCluster;
}

/**
 * A further connection to the same place, for reads that block: they would hold up everything else on the connection they
 * are on. Its commands wait for Redis rather than fail.
 */
export function copyConnection(redis: RedisClient): RedisClient {
  // A server that is blocked in a read does not answer the end of a connection; it is not waited for.
  const options = { maxRetriesPerRequest: null, disconnectTimeout: 50 } satisfies RedisOptions;
  const copy = isCluster(redis) ? redis.duplicate(undefined, { redisOptions: options }) : redis.duplicate(options);
  // The caller hears of lost connections through the connection it gave us.
  copy.on('error', () => {});
  return copy;
}
