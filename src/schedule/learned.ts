import type { Schedule } from '../polling/index.js';
import { type Durations, NO_DURATIONS, quantile, sum } from './durations.js';
import { hazardOf } from './hazard.js';
import { type Inspection, optimalInspection } from './inspection.js';

/** What is known of how long jobs take. */
export interface Knowledge {
  readonly durations: Durations;
  /** For how long jobs have been watched, in milliseconds. */
  readonly watchedMs: number;
}

/** What is known before any job has ended. */
export const NOTHING_KNOWN: Knowledge = { durations: NO_DURATIONS, watchedMs: 0 };

/** What a learned schedule is made with. */
export interface LearnedScheduleOptions {
  /** How much delay one poll is worth, in milliseconds. @minimum 1 */
  readonly priceMs: number;
  /** What counts while too little is known, and after a failed call: the exponential backoff. */
  readonly backoff: Schedule;
  /** No delay is shorter, in milliseconds. @minimum 1 */
  readonly minDelayMs: number;
  /** The longest delay of the backoff, in milliseconds; a learned one can be longer. */
  readonly maxDelayMs: number;
}

/** How much there is to do, and how much of it can be done. */
export interface Load {
  /** Jobs that have not ended, in all processes. */
  readonly jobsInFlight: number;
  /** Those among them that are due, but have to wait. */
  readonly jobsWaiting: number;
  /** Polls that are allowed each second, in all processes; 0 if any number is. */
  readonly pollsPerSecond: number;
}

/** A learned schedule, and what can be expected of it. */
export interface LearnedSchedule extends Inspection {
  /** The price it was made with, in milliseconds: the configured one, or what the quota made of it. */
  readonly priceMs: number;
}

/** Jobs that must have ended before anything is concluded. */
export const MIN_JOBS = 30;
/**
 * Jobs must have been watched for so many times as long as nine of ten of them took. Those that end first are the short
 * ones; who believes them at once polls in vain for the long ones.
 */
export const MIN_WATCHED = 5;
/** No learned delay is longer than this or the backoff's longest, in milliseconds: what it costs if all jobs are faster. */
export const LONGEST_DELAY_MS = 300_000;
/** A price beyond this, an hour for a poll, means that the quota is far too small for any schedule. */
const HIGHEST_PRICE_MS = 3_600_000;

/** Prices are this close, as a factor; halving the logarithm of 4 five times gives 4.4 %. */
const MAX_STEP = 1.05;

/** Whether enough is known to depart from the exponential backoff. */
export function isEnough({ durations, watchedMs }: Knowledge): boolean {
  return sum(durations.ended) >= MIN_JOBS && watchedMs >= MIN_WATCHED * (quantile(durations, 0.9) ?? 0);
}

/**
 * The schedule that is best for jobs that take as long as those before them. It asks again as the backoff does after a
 * failed call, which says nothing about the job, and beyond the longest time that was ever seen.
 *
 * @returns undefined if too little is known: the backoff is the schedule then.
 */
export function learnedSchedule(
  knowledge: Knowledge,
  options: LearnedScheduleOptions,
  load: Load = { jobsInFlight: 0, jobsWaiting: 0, pollsPerSecond: 0 },
): LearnedSchedule | undefined {
  if (!isEnough(knowledge)) return undefined;
  const { backoff, minDelayMs, priceMs } = options;
  const maxDelayMs = Math.max(options.maxDelayMs, LONGEST_DELAY_MS);
  const hazard = hazardOf(knowledge.durations, minDelayMs);
  const at = (price: number) => optimalInspection(hazard, { priceMs: price, minDelayMs, maxDelayMs, backoff });
  const price = priceUnderQuota(priceMs, load, at);
  const inspection = at(price);
  return {
    ...inspection,
    priceMs: price,
    schedule: (elapsedMs, failed) => (failed ? backoff(elapsedMs) : inspection.schedule(elapsedMs)),
  };
}

/**
 * The lowest price, from the configured one on, at which the polls of all jobs fit into the quota. Jobs in flight are taken
 * to be of all ages, as they are where about as many begin as end. Where they are not (a thousand at once), more of them are
 * due than can be polled, and those that wait raise the price further. It depends on numbers that all processes share, so
 * they come to the same price, and it goes in steps of 4 %, so that a small change of the load changes nothing.
 */
function priceUnderQuota(priceMs: number, load: Load, at: (priceMs: number) => Inspection): number {
  const { jobsInFlight, jobsWaiting, pollsPerSecond } = load;
  if (pollsPerSecond === 0 || jobsInFlight === 0) return priceMs;
  const allowed = pollsPerSecond * shareForPolls(jobsWaiting / pollsPerSecond);
  const fits = (price: number) => {
    const { polls, delayMs, durationMs } = at(price);
    return (jobsInFlight * polls) / ((durationMs + delayMs) / 1_000) <= allowed;
  };
  let [low, high] = [priceMs, priceMs];
  while (!fits(high) && high < HIGHEST_PRICE_MS) [low, high] = [high, high * 4];
  while (high / low > MAX_STEP) {
    const middle = Math.sqrt(low * high);
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/**
 * How much of the quota to plan with, by how many seconds due polls wait for their turn: a little more than all of it while
 * none waits, since a poll that could have been made is lost, and less the more wait.
 */
function shareForPolls(waitSeconds: number): number {
  return Math.max(0.8, 1.03 - 0.01 * waitSeconds);
}
