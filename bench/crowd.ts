import type { Schedule } from '../src/polling/index.js';
import {
  BIN_COUNT,
  binOf,
  type Durations,
  exponentialBackoff,
  type Knowledge,
  type LearnedSchedule,
  type Load,
  learnedSchedule,
  MIN_WATCHED,
  quantile,
  withJitter,
} from '../src/schedule/index.js';
import type { Distribution } from './distributions.js';

/** The defaults of the configuration. */
export const DEFAULT_BACKOFF = exponentialBackoff({ initialDelayMs: 1_000, factor: 1.5, maxDelayMs: 10_000 });
export const DEFAULT_PRICE_MS = 500;

/** How a job was noticed. */
export interface Noticed {
  /** Polls of it, the first one and the one that found its end included. */
  readonly polls: number;
  /** From its end to the poll that found it, in milliseconds. */
  readonly delayMs: number;
}

/** What is learned, kept here as `learn.lua` keeps it in Redis. */
export class SimulatedMemory {
  #ended = new Array<number>(BIN_COUNT).fill(0);
  readonly #givenUp = new Array<number>(BIN_COUNT).fill(0);
  #since: number | undefined;
  #era = 0;
  #jobs = 0;

  learn(durationMs: number, now: number): void {
    const bin = binOf(durationMs);
    if (bin === undefined) return;
    if (this.#since === undefined) [this.#since, this.#era] = [now, now];
    this.#ended[bin] = (this.#ended[bin] as number) + 1;
    this.#jobs += 1;
    if (this.#jobs < 300) return;
    if (now - this.#era < MIN_WATCHED * (quantile(this.#durations, 0.9) ?? 0)) return;
    this.#ended = this.#ended.map((jobs) => (jobs / 2 < 0.1 ? 0 : jobs / 2));
    [this.#jobs, this.#era] = [0, now];
  }

  knowledge(now: number): Knowledge {
    return { durations: this.#durations, watchedMs: now - (this.#since ?? now) };
  }

  get #durations(): Durations {
    return { ended: this.#ended, givenUp: this.#givenUp };
  }
}

/** The schedule for what is known, with the default settings. */
export function learn(
  knowledge: Knowledge,
  priceMs = DEFAULT_PRICE_MS,
  load?: Load,
  backoff: Schedule = DEFAULT_BACKOFF,
): LearnedSchedule | undefined {
  return learnedSchedule(knowledge, { priceMs, backoff, minDelayMs: 1_000, maxDelayMs: 10_000 }, load);
}

/** What is polled for next: a queue of jobs by the time at which they are due (a binary heap). */
class Due {
  readonly #heap: { at: number; job: number }[] = [];

  push(at: number, job: number): void {
    const heap = this.#heap;
    let i = heap.push({ at, job }) - 1;
    for (let up = (i - 1) >> 1; i > 0 && (heap[up]?.at as number) > at; i = up, up = (i - 1) >> 1) this.#swap(i, up);
  }

  pop(): { at: number; job: number } | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (heap.length > 0 && last !== undefined) heap[0] = last;
    for (let i = 0; ; ) {
      const at = (n: number) => heap[n]?.at ?? Number.POSITIVE_INFINITY;
      const child = at(2 * i + 1) < at(2 * i + 2) ? 2 * i + 1 : 2 * i + 2;
      if (at(child) >= at(i)) return first;
      this.#swap(i, child);
      i = child;
    }
  }

  #swap(i: number, j: number): void {
    const heap = this.#heap;
    [heap[i], heap[j]] = [heap[j] as { at: number; job: number }, heap[i] as { at: number; job: number }];
  }
}

/** Jobs that are watched together. */
export interface CrowdOptions {
  readonly distribution: Distribution;
  /** When each job is enqueued; or how many are kept in flight, each followed by another when it has been noticed. */
  readonly enqueued: readonly number[] | number;
  readonly learned: boolean;
  /** Polls that are allowed each second; 0 where any number is. */
  readonly pollsPerSecond: number;
  /** What is known before. */
  readonly memory?: SimulatedMemory;
  /** Where jobs are kept in flight: from when on it counts, and the end. */
  readonly fromMs?: number;
  readonly untilMs?: number;
  readonly random: () => number;
  /** Sets the price in place of what the sidecar does. */
  readonly price?: (now: Crowd) => number;
}

/** What there is to do at a moment. */
export interface Crowd {
  /** Of each job in flight, from its enqueueing. */
  readonly agesMs: readonly number[];
  /** Those that are due, but have to wait. */
  readonly jobsWaiting: number;
}

interface CrowdJob {
  readonly enqueuedAt: number;
  readonly durationMs: number;
  polls: number;
  ended: boolean;
}

/** The ages of the jobs that have had a poll and have not ended. */
function agesOf(jobs: readonly CrowdJob[], now: number): number[] {
  return jobs.flatMap(({ enqueuedAt, polls, ended }) => (polls > 0 && !ended ? [now - enqueuedAt] : []));
}

/** The schedule is made anew this often, as in the sidecar. */
const READ_EVERY_MS = 10_000;

/**
 * Follows jobs from their first polls to their last, one poll after another, behind a limiter that lets due polls through
 * in the order in which they are due. Polls take no time.
 *
 * @returns how jobs were noticed, in the order in which they were enqueued, or in which they ended where they are kept in
 *   flight; and how long polls waited at the limiter.
 */
export function crowd(options: CrowdOptions): { noticed: Noticed[]; waitedMs: number[] } {
  const { distribution, enqueued, learned, pollsPerSecond, random, memory = new SimulatedMemory() } = options;
  const { fromMs = 0, untilMs = Number.POSITIVE_INFINITY } = options;
  const due = new Due();
  const newJob = (at: number): CrowdJob => ({
    ...{ enqueuedAt: at, durationMs: distribution.draw(random), polls: 0, ended: false },
  });
  const jobs =
    typeof enqueued === 'number'
      ? Array.from({ length: enqueued }, () => newJob(300_000 * random()))
      : enqueued.map(newJob);
  for (const [n, job] of jobs.entries()) due.push(job.enqueuedAt, n);

  const noticed: Noticed[] = [];
  const waitedMs: number[] = [];
  let current: LearnedSchedule | undefined;
  const schedule = withJitter((ms) => (current?.schedule ?? DEFAULT_BACKOFF)(ms), DEFAULT_BACKOFF, random);
  let readAt = 0;
  let freeAt = 0;
  let inFlight = typeof enqueued === 'number' ? enqueued : 0;
  for (let next = due.pop(); next !== undefined; next = due.pop()) {
    const now = Math.max(next.at, freeAt);
    if (now > untilMs) break;
    if (pollsPerSecond > 0) freeAt = now + 1_000 / pollsPerSecond;
    if (learned && now >= readAt) {
      const jobsWaiting = ((now - next.at) / 1_000) * pollsPerSecond;
      current =
        options.price === undefined
          ? learn(memory.knowledge(now), DEFAULT_PRICE_MS, { jobsInFlight: inFlight, jobsWaiting, pollsPerSecond })
          : learn(memory.knowledge(now), options.price({ agesMs: agesOf(jobs, now), jobsWaiting }));
      readAt = now + READ_EVERY_MS;
    }
    const job = jobs[next.job] as CrowdJob;
    job.polls += 1;
    if (job.polls === 1 && typeof enqueued !== 'number') inFlight += 1;
    if (now >= fromMs) waitedMs.push(now - next.at);
    const elapsedMs = now - job.enqueuedAt;
    if (elapsedMs < job.durationMs) {
      due.push(now + schedule(elapsedMs), next.job);
      continue;
    }
    const result = { polls: job.polls, delayMs: elapsedMs - job.durationMs };
    job.ended = true;
    memory.learn(job.durationMs, now);
    if (typeof enqueued !== 'number') {
      noticed[next.job] = result;
      inFlight -= 1;
      continue;
    }
    if (now >= fromMs) noticed.push(result);
    jobs[next.job] = newJob(now);
    due.push(now, next.job);
  }
  return { noticed, waitedMs };
}
