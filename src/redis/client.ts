import type { Cluster, Redis } from 'ioredis';
import { InvalidOptionError } from './errors.js';

/** A connection to Redis as this package makes it: to one server (perhaps found by Sentinel), or to a Redis Cluster. */
export type RedisClient = Redis | Cluster;

/**
 * A connection of ioredis, as a service has it: `new Redis(…)` or `new Cluster(…)` of ioredis 5 or 6. It is described by
 * the few members that are used, so that the version of the service and the one of this package need not be the same.
 */
export interface RedisConnection {
  readonly status: string;
  readonly options: object;
  duplicate(...args: never[]): unknown;
  disconnect(reconnect?: boolean): void;
}

/** Whether it is a connection to a Redis Cluster. */
export function isCluster(redis: RedisClient): redis is Cluster {
  return redis.isCluster;
}

/**
 * Checks a connection that a service passes.
 *
 * @throws {InvalidOptionError} if it cannot be used.
 */
export function checkConnection(redis: RedisConnection): RedisClient {
  const { status, options, duplicate } = (redis ?? {}) as Partial<RedisConnection>;
  if (typeof status !== 'string' || typeof options !== 'object' || typeof duplicate !== 'function') {
    throw new InvalidOptionError(
      'redis',
      'redis is invalid: expected a connection of ioredis, new Redis() or new Cluster()',
    );
  }
  const { keyPrefix, redisOptions } = options as { keyPrefix?: string; redisOptions?: { keyPrefix?: string } };
  const prefix = keyPrefix || redisOptions?.keyPrefix;
  if (prefix) {
    throw new InvalidOptionError(
      'redis',
      `redis is invalid: its keyPrefix "${prefix}" would hide the queue and the stream; expected a connection without keyPrefix`,
    );
  }
  return redis as unknown as RedisClient;
}
