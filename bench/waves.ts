import { repeatable } from '../src/simulator/index.js';
import { type Crowd, crowd, DEFAULT_PRICE_MS, learn } from './crowd.js';
import { DISTRIBUTIONS, type Distribution } from './distributions.js';
import { mean, quantile, type Row } from './numbers.js';
import { memoryOf } from './schedules.js';

/** A third of the polls that the default price asks for, as in the section quota-simulated. */
const POLLS_PER_SECOND = 72;
const LEARNED_JOBS = 800;
const WAVES = 12;
const ARRIVALS = [
  { name: 'steady, 25 a second', jobs: 2_500, everyMs: 100_000, withinMs: 100_000 },
  { name: '2,500 within 60 s, each 100 s', jobs: 2_500, everyMs: 100_000, withinMs: 60_000 },
  { name: '5,000 within 60 s, each 200 s', jobs: 5_000, everyMs: 200_000, withinMs: 60_000 },
];
/** How far ahead the ages are looked at, and how much of the quota is planned with. */
const AHEAD = [
  { aheadMs: 20_000, share: 1 },
  { aheadMs: 40_000, share: 1.15 },
  { aheadMs: 80_000, share: 1.15 },
];
/** Prices are this close, as a factor. */
const STEP = 1.05;
const HIGHEST_PRICE_MS = 3_600_000;
/** Of more jobs in flight a sample of about so many is looked at. */
const SAMPLE = 1_000;

/**
 * Jobs that come in waves, under a short quota: the price as the sidecar sets it, which takes jobs to be of all ages, and a
 * price by the ages of the jobs in flight, at which their polls of the next seconds fit.
 */
export function waves() {
  const [distribution] = DISTRIBUTIONS as [Distribution];
  const rows = ARRIVALS.flatMap(({ name, jobs, everyMs, withinMs }): Row[] => {
    const random = repeatable(4);
    const enqueued = Array.from(
      { length: WAVES * jobs },
      (_, n) => Math.floor(n / jobs) * everyMs + withinMs * random(),
    );
    const run = (price: string, options: Partial<Parameters<typeof crowd>[0]>): Row => {
      const { noticed, waitedMs } = crowd({
        ...{ distribution, enqueued, learned: true, pollsPerSecond: POLLS_PER_SECOND, random: repeatable(3) },
        memory: memoryOf(distribution, LEARNED_JOBS),
        ...options,
      });
      return {
        'jobs come': name,
        price,
        polls: mean(noticed.map((job) => job.polls)),
        'delay, s': mean(noticed.map(({ delayMs }) => delayMs)) / 1_000,
        'p99 at the limiter, s': quantile(waitedMs, 0.99) / 1_000,
      };
    };
    return [
      run('none: exponential', { learned: false }),
      run('as the sidecar sets it', {}),
      ...AHEAD.map(({ aheadMs, share }) =>
        run(`by ages, ${aheadMs / 1_000} s ahead, ${share} of the quota`, {
          price: pricesByAge(distribution, aheadMs, share),
        }),
      ),
    ];
  });
  return { rows, conclusions: ['simulated; log-normal, sigma 0.15'] };
}

/** The lowest price at which the polls of the next seconds fit into the quota. */
function pricesByAge(distribution: Distribution, aheadMs: number, share: number): (now: Crowd) => number {
  const knowledge = memoryOf(distribution, LEARNED_JOBS).knowledge(0);
  const schedules = new Map<number, (ms: number) => number>();
  const scheduleAt = (step: number) => {
    const known = schedules.get(step) ?? learn(knowledge, STEP ** step)?.schedule;
    if (known === undefined) throw new Error('too little is known');
    schedules.set(step, known);
    return known;
  };
  const running = (ms: number) => Math.max(1e-4, 1 - distribution.ended(ms));
  /** Polls of a job of this age that are to be expected. */
  const pollsOf = (ageMs: number, schedule: (ms: number) => number): number => {
    const end = ageMs + aheadMs;
    let polls = 0;
    for (let at = ageMs; ; ) {
      const delay = schedule(at);
      const share = running(at) / running(ageMs);
      if (at + delay > end) return polls + (share * (end - at)) / delay;
      polls += share;
      at += delay;
    }
  };
  return ({ agesMs, jobsWaiting }) => {
    const each = Math.max(1, Math.floor(agesMs.length / SAMPLE));
    const sample = agesMs.filter((_, n) => n % each === 0);
    const planned = (POLLS_PER_SECOND * aheadMs) / 1_000;
    const allowed = Math.max(0.3 * planned, share * planned - jobsWaiting);
    const fits = (step: number) =>
      sample.reduce((total, ageMs) => total + pollsOf(ageMs, scheduleAt(step)), 0) * each <= allowed;
    let [low, high] = [DEFAULT_PRICE_MS, HIGHEST_PRICE_MS].map((price) =>
      Math.round(Math.log(price) / Math.log(STEP)),
    ) as [number, number];
    if (fits(low)) return DEFAULT_PRICE_MS;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (fits(middle)) high = middle;
      else low = middle;
    }
    return STEP ** high;
  };
}
