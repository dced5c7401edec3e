import type { CfwJobEventData, EventPublisher } from '../events/index.js';
import type { PollAnswer, Schedule } from '../polling/index.js';
import type { RedisClient } from '../redis/index.js';
import type { Duty } from './housekeeper.js';
import type { PollJob } from './job.js';
import type { JobEvents } from './job-events.js';

/** What BullMQ keeps of an ended job, as its return value: the data of its event, unless that was trimmed before. */
export interface JobResult extends Partial<CfwJobEventData> {
  readonly status: 'completed' | 'failed';
  /** Id of the stream entry. */
  readonly entryId: string;
}

/** What BullMQ keeps of a queue job that another one stands for. */
export interface Forwarded {
  readonly forwardedTo: string;
}

export interface JobWorkerOptions {
  readonly redis: RedisClient;
  readonly queueName: string;
  readonly queuePrefix: string;
  /** Jobs that are worked on at the same time: up to half are held until their next poll, beside at most 64 others. */
  readonly concurrency: number;
  /** Calls a second, over all processes of the queue, a whole number; 0 for no limit. */
  readonly ratePerSecond: number;
  /** Project of jobs that name none. */
  readonly projectId: string | undefined;
  /** Timeout of jobs that name none, in milliseconds. */
  readonly timeoutMs: number;
  /** The longest that a poll takes, in milliseconds. */
  readonly callTimeoutMs: number;
  /** How long an ended job is remembered, in milliseconds; BullMQ forgets it no later, or it could not come again. */
  readonly dedupTtlMs: number;
  readonly schedule: Schedule;
  /** Asks CFW about a job within `maxMs` milliseconds; does not throw. */
  readonly poll: (job: PollJob, signal: AbortSignal, maxMs: number) => Promise<PollAnswer>;
  readonly publisher: Pick<EventPublisher, 'find' | 'publish' | 'publishInvalid'>;
  readonly events: JobEvents;
  /** What the housekeeper of the queue does beside its own work. @default none */
  readonly duties?: readonly Duty[];
}
