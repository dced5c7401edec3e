import type { ScheduleLearnerOptions } from '../schedule/index.js';
import type { Logger } from './logger.js';

/**
 * Logs which schedule polls follow, and what a poll costs by it, when that changes.
 *
 * @param configuredPriceMs `POLL_PRICE`, in milliseconds.
 */
export function logSchedule(
  configuredPriceMs: number,
  logger: Logger,
): Pick<ScheduleLearnerOptions, 'onSchedule' | 'onError'> {
  return {
    onSchedule: (learned, before) => {
      const { priceMs = 0, polls, delayMs } = learned ?? {};
      const isDearer = priceMs > configuredPriceMs;
      const wasDearer = (before?.priceMs ?? 0) > configuredPriceMs;
      const fields = { priceMs, expectedPolls: polls, expectedDelayMs: delayMs };
      if (learned === undefined && before !== undefined) logger.info('polls follow the exponential backoff again');
      if (learned !== undefined && before === undefined) logger.info(fields, 'polls follow the learned schedule');
      if (isDearer && !wasDearer) logger.info(fields, 'quota short; polls cost more');
      if (!isDearer && wasDearer) logger.info(fields, 'quota sufficient again; polls cost POLL_PRICE');
    },
    onError: (err) => logger.warn({ err }, 'learned schedule not updated'),
  };
}
