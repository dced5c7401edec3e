import type { Schedule } from '../src/polling/index.js';
import { exponentialBackoff } from '../src/schedule/index.js';
import { repeatable } from '../src/simulator/index.js';
import { crowd, DEFAULT_BACKOFF, DEFAULT_PRICE_MS, learn, type Noticed, SimulatedMemory } from './crowd.js';
import { DISTRIBUTIONS, type Distribution, slower, TWO_PROJECTS } from './distributions.js';
import { mean, quantile } from './numbers.js';
import { optimumWith } from './optimum.js';

/** Jobs that are learned from, and jobs on which the schedules are compared. */
const LEARNED_JOBS = 500;
const JOBS = 20_000;
/** Long enough for everything that was learned to count. */
const WATCHED_MS = 1e9;

const SCHEDULES: Record<string, Schedule> = {
  'Terraform: every 10 s': () => 10_000,
  'Open Telekom Cloud: every 5 s': () => 5_000,
  'exponential 1 s × 2, at most 60 s': exponentialBackoff({ initialDelayMs: 1_000, factor: 2, maxDelayMs: 60_000 }),
  'exponential 1 s × 1.5, at most 10 s': DEFAULT_BACKOFF,
};

const drawn = ({ draw }: Distribution, count: number, seed: number) => {
  const random = repeatable(seed);
  return Array.from({ length: count }, () => draw(random));
};

/** How a job is noticed that takes so long. */
function follow(schedule: Schedule, durationMs: number): Noticed {
  let [at, polls] = [0, 1];
  while (at < durationMs) {
    at += schedule(at);
    polls += 1;
  }
  return { polls, delayMs: at - durationMs };
}

/** How a job is noticed where the times of the polls are fixed; beyond the last one every 10 s. */
function followTimes(times: readonly number[], durationMs: number): Noticed {
  const n = times.findIndex((at) => at >= durationMs);
  if (n >= 0) return { polls: n + 1, delayMs: (times[n] as number) - durationMs };
  const more = Math.ceil((durationMs - (times.at(-1) as number)) / 10_000);
  return { polls: times.length + more, delayMs: (times.at(-1) as number) + more * 10_000 - durationMs };
}

const averages = (noticed: readonly Noticed[]) => ({
  polls: mean(noticed.map(({ polls }) => polls)),
  delayMs: mean(noticed.map(({ delayMs }) => delayMs)),
});

/** How a schedule does on jobs that are drawn. */
export function averagesOf(schedule: Schedule, distribution: Distribution, jobs = JOBS): Noticed {
  return averages(drawn(distribution, jobs, 1_001).map((ms) => follow(schedule, ms)));
}

/** What was learned from so many jobs, one after another, long ago. */
export function memoryOf(distribution: Distribution, jobs: number, seed = 1): SimulatedMemory {
  const memory = new SimulatedMemory();
  drawn(distribution, jobs, seed).forEach((durationMs, n) => {
    memory.learn(durationMs, n * 60_000 - WATCHED_MS);
  });
  return memory;
}

/** The learned schedule after some hundred jobs, beside the optimum with as many polls, on the same jobs. */
export function compareWithOptimum(
  distribution: Distribution,
  { learnedJobs = LEARNED_JOBS, jobs = JOBS, priceMs = DEFAULT_PRICE_MS, seed = 1 } = {},
) {
  const learned = learn(memoryOf(distribution, learnedJobs, seed).knowledge(0), priceMs);
  if (learned === undefined) throw new Error('too little is known');
  const test = drawn(distribution, jobs, seed + 1_000);
  const own = averages(test.map((ms) => follow(learned.schedule, ms)));
  const best = (first: boolean) => {
    const { polls } = optimumWith(distribution, own.polls, first);
    return averages(test.map((ms) => followTimes(polls, ms)));
  };
  const withFirst = best(true);
  return { own, best: withFirst, ratio: own.delayMs / withFirst.delayMs, bestWithoutFirst: best(false) };
}

/** All schedules over all distributions: polls of a job, and how long after its end it is noticed. */
export function schedules() {
  const rows = DISTRIBUTIONS.flatMap((distribution) => {
    const row = (schedule: string, { polls, delayMs }: Noticed, note: string | number) => ({
      distribution: distribution.name,
      schedule,
      'polls of a job': polls,
      'noticed after, s': delayMs / 1_000,
      'times the optimum': note,
    });
    const { own, best, ratio, bestWithoutFirst } = compareWithOptimum(distribution);
    return [
      ...Object.entries(SCHEDULES).map(([name, schedule]) => {
        // The clients of others wait first.
        const skipped = name.startsWith('exponential') ? 0 : 1;
        const { polls, delayMs } = averagesOf(schedule, distribution);
        return row(name, { polls: polls - skipped, delayMs }, '');
      }),
      row(`learned from ${LEARNED_JOBS} jobs`, own, ratio.toFixed(2)),
      row('optimum with as many polls', best, ''),
      row('… and without a first poll at 0', bestWithoutFirst, ''),
    ];
  });
  return {
    rows,
    conclusions: [
      'each schedule on the same 20,000 jobs, simulated; price of a poll 500 ms',
      learnedByProject(),
      ...costs(),
    ],
  };
}

/** What would be won if each of two very different projects had a schedule of its own, learned from its half of the jobs. */
function learnedByProject(): string {
  const alone = TWO_PROJECTS.map((project) => compareWithOptimum(project, { learnedJobs: LEARNED_JOBS / 2 }).own);
  const { polls, delayMs } = averages(alone);
  return `two modes as two projects, each learned by itself: ${polls.toFixed(1)} polls, ${(delayMs / 1_000).toFixed(1)} s`;
}

/** What the learned schedule takes of this processor. */
function costs(): string[] {
  const knowledge = memoryOf(DISTRIBUTIONS[1] as Distribution, LEARNED_JOBS).knowledge(0);
  const timed = (times: number, run: (n: number) => unknown) => {
    const from = performance.now();
    for (let n = 0; n < times; n += 1) run(n);
    return (performance.now() - from) / times;
  };
  const schedule = learn(knowledge)?.schedule ?? DEFAULT_BACKOFF;
  const delayMs = timed(1_000_000, (n) => schedule(n % 400_000));
  const makeMs = timed(200, () => learn(knowledge));
  const load = { jobsInFlight: 5_000, jobsWaiting: 0, pollsPerSecond: 100 };
  const priceMs = timed(50, () => learn(knowledge, DEFAULT_PRICE_MS, load));
  return [
    `a delay takes ${(delayMs * 1_000).toFixed(2)} µs; making the schedule ${makeMs.toFixed(1)} ms, under quota ${priceMs.toFixed(1)} ms, every 10 s`,
  ];
}

/** Mean cost, in milliseconds of delay, with polls at the default price. */
export const costOf = (noticed: readonly Noticed[]) => {
  const { polls, delayMs } = averages(noticed);
  return delayMs + DEFAULT_PRICE_MS * polls;
};

/** How jobs come in that nothing is known of yet. */
export const ARRIVALS: Record<string, readonly number[]> = {
  '1,000 at once': new Array<number>(1_000).fill(0),
  '100 every minute': Array.from({ length: 1_000 }, (_, n) => Math.floor(n / 100) * 60_000),
  '5 a second': Array.from({ length: 15_000 }, (_, n) => n * 200),
  '1 a second': Array.from({ length: 4_000 }, (_, n) => n * 1_000),
  '1 a minute': Array.from({ length: 200 }, (_, n) => n * 60_000),
};

/** The worst of so many jobs in a row is told, too. */
const WINDOW = 500;

/** A cold start: all jobs from the first one on, learned against exponential. */
export function coldStart(distribution: Distribution, enqueued: readonly number[]) {
  const run = (learned: boolean) =>
    crowd({ distribution, enqueued, learned, pollsPerSecond: 0, random: repeatable(5) }).noticed;
  const [exponential, learned] = [run(false), run(true)];
  const ratio = (from: number, to: number) => costOf(learned.slice(from, to)) / costOf(exponential.slice(from, to));
  let worst = 0;
  for (let from = 0; from < learned.length; from += WINDOW) worst = Math.max(worst, ratio(from, from + WINDOW));
  return { exponential: averages(exponential), learned: averages(learned), ratio: ratio(0, learned.length), worst };
}

export function coldStarts() {
  const rows = DISTRIBUTIONS.flatMap((distribution) =>
    Object.entries(ARRIVALS).map(([arrivals, enqueued]) => {
      const { exponential, learned, ratio, worst } = coldStart(distribution, enqueued);
      return {
        distribution: distribution.name,
        arrivals,
        'polls, exponential': exponential.polls,
        learned: learned.polls,
        'noticed after, s, exponential': exponential.delayMs / 1_000,
        'learned ': learned.delayMs / 1_000,
        'cost ratio': ratio.toFixed(2),
        'worst 500 jobs': worst.toFixed(2),
      };
    }),
  );
  return { rows, conclusions: ['cost: delay + 500 ms for each poll; simulated'] };
}

/** Jobs after which the adaption to a change is looked at. */
const AFTER = [0, 10, 50, 100, 300, 600] as const;

/** All jobs are suddenly so many times slower: what the schedule is worth after some of them. */
export function change(before: Distribution, factor: number) {
  const after = slower(before, factor);
  const random = repeatable(9);
  const test = drawn(after, 2_000, 77);
  const memory = memoryOf(before, 800);
  let learned = 0;
  return AFTER.map((jobs) => {
    for (; learned < jobs; learned += 1) memory.learn(after.draw(random), learned * 60_000);
    const schedule = learn(memory.knowledge(WATCHED_MS))?.schedule ?? DEFAULT_BACKOFF;
    return { jobs, ...averages(test.map((ms) => follow(schedule, ms))) };
  });
}

export function changes() {
  const rows = DISTRIBUTIONS.flatMap((distribution) =>
    [3, 1 / 3].map((factor) => ({
      distribution: distribution.name,
      'jobs are': factor > 1 ? '3 × slower' : '3 × faster',
      ...Object.fromEntries(
        change(distribution, factor).map(({ jobs, polls, delayMs }) => [
          jobs === 0 ? 'at once: polls / delay, s' : `after ${jobs} jobs`,
          `${polls.toFixed(1)} / ${(delayMs / 1_000).toFixed(1)}`,
        ]),
      ),
    })),
  );
  return { rows, conclusions: ['simulated; 800 jobs were learned before the change'] };
}

/** Jobs in flight under quota. */
const IN_FLIGHT = 5_000;

/** Many jobs in flight with a quota of a third of the polls that the learned schedule wants at the default price. */
export function underQuota(distribution: Distribution, { inFlight = IN_FLIGHT, untilMs = 3_000_000 } = {}) {
  const knowledge = memoryOf(distribution, LEARNED_JOBS).knowledge(0);
  const wanted = learn(knowledge);
  if (wanted === undefined) throw new Error('too little is known');
  const pollsPerSecond = (inFlight * wanted.polls * 1_000) / (wanted.durationMs + wanted.delayMs) / 3;
  const run = (learned: boolean) => {
    const { noticed, waitedMs } = crowd({
      distribution,
      enqueued: inFlight,
      learned,
      pollsPerSecond,
      memory: memoryOf(distribution, LEARNED_JOBS),
      // The memory was filled by then.
      fromMs: 1_500_000,
      untilMs,
      random: repeatable(3),
    });
    return { ...averages(noticed), waitedP99Ms: quantile(waitedMs, 0.99) };
  };
  const [exponential, learned] = [run(false), run(true)];
  return { pollsPerSecond, exponential, learned, ratio: learned.delayMs / exponential.delayMs };
}

export function quotas() {
  const rows = DISTRIBUTIONS.map((distribution) => {
    const { pollsPerSecond, exponential, learned, ratio } = underQuota(distribution);
    return {
      distribution: distribution.name,
      'quota, polls/s': pollsPerSecond,
      'exponential: polls': exponential.polls,
      'delay, s': exponential.delayMs / 1_000,
      'p99 at the limiter, s': exponential.waitedP99Ms / 1_000,
      'learned: polls': learned.polls,
      'delay, s ': learned.delayMs / 1_000,
      'p99 at the limiter, s ': learned.waitedP99Ms / 1_000,
      'delay ratio': ratio.toFixed(2),
    };
  });
  return {
    rows,
    conclusions: [`${IN_FLIGHT} jobs in flight, simulated; the quota is a third of what the price asks for`],
  };
}
