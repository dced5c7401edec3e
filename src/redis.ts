import { Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig } from './config.js';

const COMMON = {
  connectionName: 'cfw-job-poller',
  // Finds connections whose other end is gone without a word.
  keepAlive: 10_000,
  connectTimeout: 5_000,
} satisfies RedisOptions;

/**
 * A connection for a service: it reconnects for ever, and commands wait for it rather than fail. ioredis sends commands
 * again that were under way when the connection broke, so each must be safe to run twice.
 */
export function serviceRedis({ url }: RedisConfig): Redis {
  return new Redis(url.reveal(), {
    ...COMMON,
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(100 * 2 ** Math.min(times, 5), 2_000),
  });
}

/** How long a command waits for Redis to answer for the first time, in milliseconds. */
const FIRST_ANSWER_MS = 5_000;

/** Redis cannot be reached. */
export class RedisUnreachableError extends Error {
  override readonly name = 'RedisUnreachableError';
}

/**
 * A connection for a command that a person waits for: where Redis cannot be reached it says so at once.
 *
 * @throws {RedisUnreachableError}
 */
export async function commandRedis({ url }: RedisConfig): Promise<Redis> {
  const redis = new Redis(url.reveal(), { ...COMMON, lazyConnect: true, retryStrategy: () => null });
  let cause: Error | undefined;
  redis.on('error', (error: Error) => {
    cause = error;
  });
  // The bound of connecting does not cover a Redis that takes the connection and is silent.
  const late = setTimeout(() => {
    cause = new Error(`no answer within ${FIRST_ANSWER_MS / 1_000} s`);
    redis.disconnect();
  }, FIRST_ANSWER_MS);
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    const { host, port } = redis.options;
    redis.disconnect();
    const reason = cause ?? (error as Error);
    throw new RedisUnreachableError(`Redis at ${host}:${port} cannot be used: ${reason.message || reason.name}`);
  } finally {
    clearTimeout(late);
  }
  // From now on, a connection that breaks is made again.
  redis.options.retryStrategy = (times) => Math.min(100 * times, 2_000);
  return redis;
}
