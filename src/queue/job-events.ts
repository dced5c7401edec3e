import { EventEmitter } from 'node:events';
import type { EndedJob, PublishResult } from '../events/index.js';
import type { PollAnswer, PollHistory } from '../polling/index.js';
import type { InvalidJob, PollJob } from './job.js';

/** One poll, and what is known with and without its answer. */
export interface PolledJob {
  readonly job: PollJob;
  /** Of a call, or of one that was withheld. */
  readonly answer: PollAnswer;
  readonly history: PollHistory;
  readonly before: PollHistory;
  /** How long after it was due the call began, in milliseconds. */
  readonly lateMs: number;
  /** How long the call took, in milliseconds; null if none was made. */
  readonly tookMs: number | null;
}

/** What happens to jobs. Emitted after the fact; listeners must not throw. */
export interface JobEventMap {
  /** A job is worked on for the first time. */
  accepted: [PollJob];
  /** A call begins; its `polled` follows. */
  calling: [];
  polled: [PolledJob];
  /** The event of a job is on the stream; `isNew` is false if it had been published before. */
  ended: [EndedJob, PublishResult];
  /** The data of a queue job is invalid; its event is on the stream. */
  invalid: [queueJobId: string, job: InvalidJob];
  /** Something failed that is no answer of CFW. The job, if it concerns one, stays in the queue. */
  error: [error: unknown, queueJobId: string | undefined];
  /** Redis refuses writes (`error`), or accepts them again (undefined). */
  writes: [error: Error | undefined];
  /** The rate stopped a fetch, or sent a held job into the backlog for its next call. */
  limited: ['fetch' | 'held'];
}

/** The one channel from the worker to logs, metrics and the learned schedule. */
export class JobEvents extends EventEmitter<JobEventMap> {
  constructor() {
    super();
    // Without a listener, Node would throw the error instead.
    this.on('error', () => {});
  }
}
