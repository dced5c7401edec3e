import { isCluster, type RedisClient } from '../redis/index.js';
import type { Logger } from './logger.js';

/** Logs once when the connection to Redis is lost and once when it is restored, however often connecting is tried between. */
export function logRedisState(redis: RedisClient, logger: Logger): void {
  let away = false;
  let cause: Error | undefined;
  redis.on('error', (error: Error) => {
    cause = error;
  });
  redis.on('close', () => {
    if (away || redis.status === 'end') return;
    away = true;
    logger.error({ ...where(redis), error: cause?.message || 'the connection was closed' }, 'redis connection lost');
  });
  redis.on('ready', () => {
    logger.info(where(redis), away ? 'redis connection restored' : 'redis connected');
    away = false;
    cause = undefined;
  });
}

function where(redis: RedisClient): { redis: string } {
  const nodes = isCluster(redis) ? redis.nodes('master') : [redis];
  return { redis: nodes.map(({ options }) => `${options.host}:${options.port}`).join(',') };
}
