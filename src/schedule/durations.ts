import type { PollHistory } from '../polling/index.js';

/** Bins for each doubling of the time: each is 2.9 % longer than the one before it. */
const BINS_PER_DOUBLING = 24;
/** Where the first bin begins, in milliseconds: the shortest delay that can be configured. */
const FIRST_BIN_MS = 50;
/** The longest time that is learned, in milliseconds: the longest timeout, 24 hours. */
const LONGEST_MS = 86_400_000;

/** How many bins there are, for times from 50 ms to 24 h. */
export const BIN_COUNT = Math.ceil(Math.log2(LONGEST_MS / FIRST_BIN_MS) * BINS_PER_DOUBLING);

/** Where a bin begins, in milliseconds; it ends where the next one begins. */
export function binStart(bin: number): number {
  return FIRST_BIN_MS * 2 ** (bin / BINS_PER_DOUBLING);
}

/** @returns the bin of a time in milliseconds, or undefined if it is absurd: negative, less than 50 ms, over 24 h. */
export function binOf(ms: number): number | undefined {
  const bin = Math.floor(Math.log2(ms / FIRST_BIN_MS) * BINS_PER_DOUBLING);
  return bin >= 0 && bin < BIN_COUNT ? bin : undefined;
}

/**
 * How long jobs took from enqueueing to their end, be it success or failure: a histogram. Older jobs count for less, so
 * the numbers are not whole.
 */
export interface Durations {
  /** Jobs that ended, by bin. */
  readonly ended: readonly number[];
  /** Jobs that were given up while they still ran (censored observations), by the bin up to which they were seen running. */
  readonly givenUp: readonly number[];
}

/** Nothing is known. */
export const NO_DURATIONS: Durations = {
  ended: new Array<number>(BIN_COUNT).fill(0),
  givenUp: new Array<number>(BIN_COUNT).fill(0),
};

/** What one job teaches: in which bin it ended, or up to which bin it was seen running. */
export interface Observation {
  readonly kind: keyof Durations;
  readonly bin: number;
}

/**
 * What a job teaches once it is over. Its end lies between the last poll that found it running and the one that found it
 * ended; by our own clock. CFW's times say where in between, unless they contradict it (clocks differ,
 * a field is garbage) or are missing; then it is drawn.
 *
 * A job that was never found running teaches nothing: it was over before there was anything to schedule.
 *
 * @param random a number from 0 to 1, @default `Math.random`
 */
export function observe(
  enqueuedAt: number,
  { runningAt, lastPollAt, beginTime, endTime, cfwStatus }: PollHistory,
  random: () => number = Math.random,
): Observation | undefined {
  if (runningAt === null || lastPollAt === null) return undefined;
  const atLeast = runningAt - enqueuedAt;
  const atMost = lastPollAt - enqueuedAt;
  if (cfwStatus !== 'Success' && cfwStatus !== 'Failed') return inBin('givenUp', atLeast);
  const [begin, end] = [Date.parse(beginTime ?? ''), Date.parse(endTime ?? '')];
  // The first is right also if a job was enqueued long after it began, the second also if clocks differ.
  const told = [end - enqueuedAt, end - begin].find((ms) => ms >= atLeast && ms <= atMost);
  return inBin('ended', told ?? atLeast + (atMost - atLeast) * random());
}

function inBin(kind: keyof Durations, ms: number): Observation | undefined {
  const bin = binOf(ms);
  return bin === undefined ? undefined : { kind, bin };
}

/** @returns the time in milliseconds within which this share of the jobs ended; undefined if none has ended. */
export function quantile({ ended }: Durations, share: number): number | undefined {
  let left = share * sum(ended);
  if (left === 0) return undefined;
  const bin = ended.findIndex((jobs) => {
    left -= jobs;
    return left <= 0;
  });
  return binStart((bin < 0 ? BIN_COUNT - 1 : bin) + 1);
}

/** Adds up. */
export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
