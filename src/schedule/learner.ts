import { setTimeout as sleep } from 'node:timers/promises';
import type { PollHistory, Schedule } from '../polling/index.js';
import { observe, quantile, sum } from './durations.js';
import {
  type LearnedSchedule,
  type LearnedScheduleOptions,
  type Load,
  learnedSchedule,
  MIN_WATCHED,
} from './learned.js';
import type { DurationStore } from './store.js';

/** What a learner needs. */
export interface ScheduleLearnerOptions extends LearnedScheduleOptions {
  readonly store: DurationStore;
  /** How much there is to do just now. */
  readonly load: () => Promise<Load>;
  /** The schedule was computed; undefined stands for the backoff. */
  readonly onSchedule?: (learned: LearnedSchedule | undefined, before: LearnedSchedule | undefined) => void;
  /** Redis could not be read or written; the schedule stays as it was. */
  readonly onError: (error: unknown) => void;
  /** How often the store is read, in milliseconds. */
  readonly readEveryMs: number;
}

/** An era lasts at least this long while it is not known how long jobs take, in milliseconds: a day. */
const UNKNOWN_ERA_MS = 86_400_000;

/** Keeps a schedule that follows what all processes have learned, and adds what this one learns. */
export class ScheduleLearner {
  readonly #options: ScheduleLearnerOptions;
  readonly #stopping = new AbortController();
  #learned: LearnedSchedule | undefined;
  #knownJobs = 0;
  #eraMs = UNKNOWN_ERA_MS;

  constructor(options: ScheduleLearnerOptions) {
    this.#options = options;
  }

  /** The exponential backoff until enough is known, then the best schedule for what is known. */
  readonly schedule: Schedule = (elapsedMs, failed) =>
    (this.#learned?.schedule ?? this.#options.backoff)(elapsedMs, failed);

  /** What the schedule is made of just now; undefined while it is the backoff. */
  get learned(): LearnedSchedule | undefined {
    return this.#learned;
  }

  /** Ended jobs that are known as of the last refresh; older ones count for less. */
  get knownJobs(): number {
    return this.#knownJobs;
  }

  /** Adds a job that is over, unless it teaches nothing. */
  async learn(enqueuedAt: number, history: PollHistory): Promise<void> {
    const observation = observe(enqueuedAt, history);
    if (observation === undefined) return;
    await this.#options.store.learn(observation, this.#eraMs).catch((error: unknown) => this.#failed(error));
  }

  /** Recomputes the schedule from what all processes know now. */
  async refresh(): Promise<void> {
    const [knowledge, load] = await Promise.all([this.#options.store.read(), this.#options.load()]);
    const before = this.#learned;
    this.#knownJobs = sum(knowledge.durations.ended);
    this.#learned = learnedSchedule(knowledge, this.#options, load);
    this.#options.onSchedule?.(this.#learned, before);
    this.#eraMs = MIN_WATCHED * (quantile(knowledge.durations, 0.9) ?? UNKNOWN_ERA_MS);
  }

  /** Refreshes now and then until stopped. While Redis is away it waits for it. */
  async run(): Promise<void> {
    const { readEveryMs } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.refresh().catch((error: unknown) => this.#failed(error));
      await sleep(readEveryMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** What fails because the connection is being closed is no error. */
  #failed(error: unknown): void {
    if (!this.#stopping.signal.aborted) this.#options.onError(error);
  }
}
