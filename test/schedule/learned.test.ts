import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Schedule } from '../../src/polling/index.js';
import { exponentialBackoff } from '../../src/schedule/backoff.js';
import { BIN_COUNT, binOf, type Durations } from '../../src/schedule/durations.js';
import {
  type Knowledge,
  LONGEST_DELAY_MS,
  type Load,
  learnedSchedule,
  MIN_JOBS,
  NOTHING_KNOWN,
} from '../../src/schedule/learned.js';

const backoff = exponentialBackoff({ initialDelayMs: 1_000, factor: 1.5, maxDelayMs: 10_000 });
const OPTIONS = { priceMs: 500, backoff, minDelayMs: 1_000, maxDelayMs: 10_000 };
const HOUR_MS = 3_600_000;

function durationsOf(endedMs: readonly number[], givenUpMs: readonly number[] = []): Durations {
  const count = (times: readonly number[]) => {
    const bins = new Array<number>(BIN_COUNT).fill(0);
    for (const ms of times) {
      const bin = binOf(ms);
      if (bin !== undefined) bins[bin] = (bins[bin] as number) + 1;
    }
    return bins;
  };
  return { ended: count(endedMs), givenUp: count(givenUpMs) };
}

const known = (endedMs: readonly number[], watchedMs = 100 * HOUR_MS): Knowledge => ({
  durations: durationsOf(endedMs),
  watchedMs,
});

/** About normal: from 120 s to 240 s, most near 180 s. */
const THREE_MINUTES = Array.from({ length: 500 }, (_, n) => 180_000 + 30_000 * (((n % 25) + (n % 20)) / 11 - 2));

function learn(knowledge: Knowledge, options: Partial<typeof OPTIONS> = {}, load?: Load) {
  const learned = learnedSchedule(knowledge, { ...OPTIONS, ...options }, load);
  if (learned === undefined) throw new Error('too little is known');
  return learned;
}

/** When a job is polled for that takes so long. */
function pollsOf(schedule: Schedule, durationMs: number): number[] {
  const polls = [0];
  while ((polls.at(-1) as number) < durationMs) polls.push((polls.at(-1) as number) + schedule(polls.at(-1) as number));
  return polls;
}

/** What polls and delays cost on average, over jobs that take so long. */
function cost(schedule: Schedule, durationsMs: readonly number[]) {
  const jobs = durationsMs.map((ms) => {
    const polls = pollsOf(schedule, ms);
    return { polls: polls.length, delayMs: (polls.at(-1) as number) - ms };
  });
  const mean = (of: (job: (typeof jobs)[number]) => number) =>
    jobs.reduce((total, job) => total + of(job), 0) / jobs.length;
  return { polls: mean(({ polls }) => polls), delayMs: mean(({ delayMs }) => delayMs) };
}

describe('while little is known', () => {
  it.each<[string, Knowledge]>([
    ['nothing', NOTHING_KNOWN],
    ['too few jobs', known(THREE_MINUTES.slice(0, MIN_JOBS - 1))],
    ['only the first jobs of a burst', known(THREE_MINUTES, 200_000)],
    ['only jobs that were given up', { durations: durationsOf([], THREE_MINUTES), watchedMs: HOUR_MS }],
  ])('there is no learned schedule: %s', (_what, knowledge) => {
    expect(learnedSchedule(knowledge, OPTIONS)).toBeUndefined();
  });
});

describe('the learned schedule', () => {
  it('polls once, then not before a job can have ended, then often', () => {
    const { schedule } = learn(known(THREE_MINUTES));
    const [first, second = 0, ...others] = pollsOf(schedule, 240_000);
    expect(first).toBe(0);
    expect(second).toBeGreaterThan(100_000);
    expect(second).toBeLessThan(150_000);
    expect(others.length).toBeGreaterThan(4);
  });

  it('needs fewer polls than the backoff, and notices sooner', () => {
    const learned = cost(learn(known(THREE_MINUTES)).schedule, THREE_MINUTES);
    const usual = cost(backoff, THREE_MINUTES);
    expect(learned.polls).toBeLessThan(usual.polls / 2);
    expect(learned.delayMs).toBeLessThan(usual.delayMs);
  });

  it('keeps what it promises', () => {
    const { schedule, polls, delayMs, durationMs } = learn(known(THREE_MINUTES));
    const real = cost(schedule, THREE_MINUTES);
    expect(Math.abs(real.polls / polls - 1)).toBeLessThan(0.15);
    // What is known is smoothed, so a sharp rise looks less sharp than it is.
    expect(Math.abs(real.delayMs / delayMs - 1)).toBeLessThan(0.3);
    expect(durationMs / 180_000).toBeCloseTo(1, 1);
  });

  it('follows the price: a higher one means fewer polls and later news', () => {
    const [cheap, usual, dear] = [50, 500, 5_000].map((priceMs) =>
      cost(learn(known(THREE_MINUTES), { priceMs }).schedule, THREE_MINUTES),
    );
    expect(cheap?.polls).toBeGreaterThan(1.5 * (usual?.polls ?? 0));
    expect(usual?.polls).toBeGreaterThan(1.5 * (dear?.polls ?? 0));
    expect(cheap?.delayMs).toBeLessThan((usual?.delayMs ?? 0) / 1.5);
    expect(usual?.delayMs).toBeLessThan((dear?.delayMs ?? 0) / 1.5);
  });

  it('waits through the gap between two kinds of jobs', () => {
    const jobs = THREE_MINUTES.map((ms, n) => (n % 2 === 0 ? ms / 3 : 2 * ms));
    const polls = pollsOf(learn(known(jobs)).schedule, 480_000);
    const inGap = polls.filter((ms) => ms > 90_000 && ms < 220_000);
    expect(inGap.length).toBeLessThanOrEqual(1);
  });

  it('is the backoff beyond what was ever seen, and after a failed call', () => {
    const { schedule } = learn(known(THREE_MINUTES));
    for (const elapsed of [260_000, 600_000, HOUR_MS, 86_400_000]) expect(schedule(elapsed)).toBe(10_000);
    for (const elapsed of [0, 1_000, 60_000, 180_000]) expect(schedule(elapsed, true)).toBe(backoff(elapsed));
  });

  it('takes jobs that were given up for ones that run longer', () => {
    const jobs = { ended: THREE_MINUTES, givenUp: Array.from({ length: 500 }, () => 150_000) };
    const without = learn(known(jobs.ended));
    const withThem = learn({ durations: durationsOf(jobs.ended, jobs.givenUp), watchedMs: 100 * HOUR_MS });
    expect(withThem.durationMs).toBeGreaterThan(without.durationMs);
  });

  it('is soon of use again after all jobs have become three times faster, and sane until then', () => {
    const faster = THREE_MINUTES.map((ms) => ms / 3);
    const delayAfter = (jobs: number) =>
      cost(learn(known([...THREE_MINUTES, ...faster.slice(0, jobs)])).schedule, faster).delayMs;
    expect(delayAfter(0)).toBeLessThan(LONGEST_DELAY_MS);
    expect(delayAfter(10)).toBeLessThan(delayAfter(0) / 2);
    expect(delayAfter(100)).toBeLessThan(10_000);
  });

  it('costs no more than the backoff after all jobs have become three times slower', () => {
    const slower = THREE_MINUTES.map((ms) => 3 * ms);
    const usual = cost(backoff, slower);
    for (const jobs of [0, 10, 100, 300]) {
      const now = cost(learn(known([...THREE_MINUTES, ...slower.slice(0, jobs)])).schedule, slower);
      expect(now.delayMs + 500 * now.polls).toBeLessThan(1.1 * (usual.delayMs + 500 * usual.polls));
    }
  });

  it('never gives a delay beyond its bounds, whatever was learned', () => {
    const anyMs = fc.double({ min: 1, max: 1e8, noNaN: true });
    const anyKnowledge = fc.record({
      ended: fc.array(anyMs, { minLength: MIN_JOBS, maxLength: 300 }),
      givenUp: fc.array(anyMs, { maxLength: 50 }),
      weight: fc.double({ min: 0.1, max: 1_000, noNaN: true }),
    });
    const anyElapsed = fc.array(fc.double({ min: -1e6, max: 1e8, noNaN: true }), { minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(anyKnowledge, anyElapsed, fc.double({ min: 1, max: 6e5, noNaN: true }), (jobs, times, priceMs) => {
        const { ended, givenUp } = durationsOf(jobs.ended, jobs.givenUp);
        const durations = { ended: ended.map((n) => n * jobs.weight), givenUp };
        const learned = learnedSchedule({ durations, watchedMs: 1e12 }, { ...OPTIONS, priceMs });
        for (const elapsed of times) {
          const delay = learned?.schedule(elapsed) ?? 1_000;
          expect(delay).toBeGreaterThanOrEqual(1_000);
          expect(delay).toBeLessThanOrEqual(LONGEST_DELAY_MS);
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('under quota', () => {
  const pollsPerSecond = (jobsInFlight: number, { polls, delayMs, durationMs }: ReturnType<typeof learn>) =>
    (jobsInFlight * polls * 1_000) / (durationMs + delayMs);

  it('the price stays where the polls fit, or where there is no quota', () => {
    expect(learn(known(THREE_MINUTES), {}, { jobsInFlight: 10, jobsWaiting: 0, pollsPerSecond: 100 }).priceMs).toBe(
      500,
    );
    expect(learn(known(THREE_MINUTES), {}, { jobsInFlight: 1e6, jobsWaiting: 0, pollsPerSecond: 0 }).priceMs).toBe(500);
  });

  it('the price rises until the polls of all jobs fit', () => {
    let before = 500;
    for (const jobsInFlight of [2_500, 5_000, 7_500]) {
      const learned = learn(known(THREE_MINUTES), {}, { jobsInFlight, jobsWaiting: 0, pollsPerSecond: 100 });
      expect(learned.priceMs).toBeGreaterThan(before);
      before = learned.priceMs;
      expect(pollsPerSecond(jobsInFlight, learned)).toBeLessThan(104);
      expect(pollsPerSecond(jobsInFlight, learned)).toBeGreaterThan(80);
    }
  });

  it('the price is the same for small changes of the load, so that processes agree', () => {
    const price = (jobsInFlight: number) =>
      learn(known(THREE_MINUTES), {}, { jobsInFlight, jobsWaiting: 0, pollsPerSecond: 100 }).priceMs;
    const prices = Array.from({ length: 101 }, (_, n) => price(5_000 + n));
    expect(new Set(prices).size).toBeLessThanOrEqual(3);
  });

  it('the price rises further while many jobs wait for their turn', () => {
    const price = (jobsWaiting: number) =>
      learn(known(THREE_MINUTES), {}, { jobsInFlight: 5_000, jobsWaiting, pollsPerSecond: 100 }).priceMs;
    expect(price(2_000)).toBeGreaterThan(price(0));
  });

  it('a quota that is far too small still gives a schedule', () => {
    const { priceMs, schedule } = learn(
      known(THREE_MINUTES),
      {},
      { jobsInFlight: 1e6, jobsWaiting: 1e6, pollsPerSecond: 1 },
    );
    expect(Number.isFinite(priceMs)).toBe(true);
    expect(schedule(0)).toBeGreaterThan(100_000);
  });
});
