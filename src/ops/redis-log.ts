import type { Redis } from 'ioredis';
import type { Logger } from './logger.js';

/** Tells when Redis goes away and when it is back, once each, however often connecting is tried in between. */
export function logRedisState(redis: Redis, logger: Logger): void {
  let away = false;
  let cause: Error | undefined;
  const where = { redis: `${redis.options.host}:${redis.options.port}` };
  redis.on('error', (error: Error) => {
    cause = error;
  });
  redis.on('close', () => {
    if (away || redis.status === 'end') return;
    away = true;
    logger.error({ ...where, error: cause?.message ?? 'the connection was closed' }, 'redis is away; waiting for it');
  });
  redis.on('ready', () => {
    logger.info(where, away ? 'redis is back' : 'redis is there');
    away = false;
    cause = undefined;
  });
}
