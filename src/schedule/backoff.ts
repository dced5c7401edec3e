import type { Schedule } from '../polling/index.js';

/** The exponential backoff between the polls of one job. */
export interface ExponentialBackoffOptions {
  /** Delay after the first poll, in milliseconds. @minimum 1 */
  readonly initialDelayMs: number;
  /** What each delay is multiplied by to get the next one; 1 keeps it constant. @minimum 1 */
  readonly factor: number;
  /** No delay is longer than this, in milliseconds. @minimum initialDelayMs */
  readonly maxDelayMs: number;
}

/**
 * Exponential backoff without a counter. Polls at 0, b, b + bf, b + bf + bf², … are the same as: *the delay at elapsed
 * time t is min(max, b + (f - 1)·t)*, since the geometric sum b·(fⁿ - 1)/(f - 1) = t has bfⁿ = b + (f - 1)·t as its next term.
 *
 * @throws {RangeError} if an option is out of its bounds.
 */
export function exponentialBackoff({ initialDelayMs, factor, maxDelayMs }: ExponentialBackoffOptions): Schedule {
  if (!(initialDelayMs >= 1)) throw new RangeError(`initialDelayMs must be at least 1, not ${initialDelayMs}`);
  if (!(factor >= 1 && Number.isFinite(factor))) throw new RangeError(`factor must be 1 or more, not ${factor}`);
  if (!(maxDelayMs >= initialDelayMs)) throw new RangeError(`maxDelayMs must be at least ${initialDelayMs}`);
  return (elapsedMs) => Math.min(maxDelayMs, initialDelayMs + (factor - 1) * Math.max(0, elapsedMs));
}

/** Jitter takes away up to this share of a delay. */
const JITTER = 0.1;

/**
 * Shortens each delay by up to a tenth, so that jobs enqueued in one burst do not go on polling in step. It only ever
 * shortens: a maximum stays a maximum.
 *
 * @param backoff no more is taken away than a tenth of this one's delay: a learned schedule waits for long because nothing
 *   can be found before. @default the schedule itself
 * @param random a number from 0 to 1 each time, @default `Math.random`
 */
export function withJitter(
  schedule: Schedule,
  backoff: Schedule = schedule,
  random: () => number = Math.random,
): Schedule {
  return (elapsedMs, failed) => {
    const delayMs = schedule(elapsedMs, failed);
    return delayMs - JITTER * random() * Math.min(delayMs, backoff(elapsedMs, failed));
  };
}
