import type { History, PollAnswer, PollLoopResult, Schedule } from '../polling/index.js';
import type { RedisClient } from '../redis/index.js';
import type { PollJob, UnfitJob } from './job.js';

/** How a job ended, as the worker tells it to whoever publishes. */
export interface EndedJob {
  readonly job: PollJob;
  readonly enqueuedAt: number;
  readonly verdict: Extract<PollLoopResult, { kind: 'ended' }>['verdict'];
  readonly history: History;
}

/** What is kept of an ended job in BullMQ, as its return value. */
export interface JobResult {
  readonly status: 'completed' | 'failed';
  /** Id of the event's stream entry. */
  readonly entryId: string;
}

/** What happens to jobs, for logs and counters. Every member is told after the fact and must not throw. */
export interface JobObserver {
  /** A job is worked on for the first time. */
  accepted(job: PollJob): void;
  /**
   * A call was made (or withheld) and answered; what is known with and without that answer comes along, and how long after it
   * was due the call began, in milliseconds, whatever it had to wait for.
   */
  polled(job: PollJob, answer: PollAnswer, history: History, before: History, lateMs: number): void;
  /** A job has ended and its event is on the stream; `isNew` is false where it had been published before. */
  ended(ended: EndedJob, entryId: string, isNew: boolean): void;
  /** An entry of the queue does not fit. */
  unfit(queueJobId: string, job: UnfitJob): void;
  /** Something went wrong that is no answer of CFW; the job stays in the queue. */
  trouble(error: unknown, queueJobId: string | undefined): void;
}

/** What a worker needs. */
export interface JobWorkerOptions {
  readonly redis: RedisClient;
  readonly queueName: string;
  readonly queuePrefix: string;
  /** Jobs that are worked on at the same time: up to half are held until their next poll, beside at most 64 others. */
  readonly concurrency: number;
  /** Calls a second, over all processes of the queue; 0 for no limit. */
  readonly ratePerSecond: number;
  /** Project of jobs that name none. */
  readonly projectId: string | undefined;
  /** Timeout of jobs that name none, in milliseconds. */
  readonly timeoutMs: number;
  /** The longest that a poll takes, in milliseconds. */
  readonly callTimeoutMs: number;
  /** How long an ended job is remembered, in milliseconds; BullMQ must not know it for longer, or it could not come again. */
  readonly dedupTtlMs: number;
  readonly schedule: Schedule;
  /** Asks CFW about a job within `maxMs` milliseconds; does not throw. */
  readonly poll: (job: PollJob, signal: AbortSignal, maxMs: number) => Promise<PollAnswer>;
  /** Whether the job's end was published before; returns what to keep of it. */
  readonly findPublished: (job: PollJob) => Promise<JobResult | undefined>;
  readonly publish: (ended: EndedJob) => Promise<{ entryId: string; isNew: boolean }>;
  readonly publishUnfit: (
    queueJobId: string,
    job: UnfitJob,
    enqueuedAt: number,
  ) => Promise<{ entryId: string; isNew: boolean }>;
  readonly observer: JobObserver;
  /** Told each time the limiter has stopped a fetch, or has sent a held job into the line for its further call, for whatever reason. */
  readonly onLimited?: (what: 'fetch' | 'held') => void;
}
