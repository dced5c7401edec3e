import type { EndedJob, PublishedEvent } from '../events/index.js';
import { type Deadline, deadlineOf, NEW_HISTORY, timedOut } from '../polling/index.js';
import { type InvalidJob, type PollJob, parseJobData } from './job.js';
import type { QueuedJob } from './queued.js';
import type { JobResult, JobWorkerOptions } from './worker-options.js';

/** The deadline of a job by its own timeout, or by the one of jobs that name none. */
export function deadlineFor(
  options: Pick<JobWorkerOptions, 'timeoutMs' | 'callTimeoutMs'>,
  job: PollJob | InvalidJob,
  enqueuedAt: number,
): Deadline {
  const timeoutMs = ('problems' in job ? null : job.timeoutMs) ?? options.timeoutMs;
  return deadlineOf(enqueuedAt, timeoutMs, options.callTimeoutMs);
}

/** What BullMQ is to keep of a job that was published. */
export function resultOf({ status, entryId, event }: PublishedEvent): JobResult {
  return { ...event?.data, status, entryId };
}

/** Publishes that the data of a queue job is invalid. */
export async function endInvalid(
  { queueName, publisher, events }: JobWorkerOptions,
  queueJobId: string,
  job: InvalidJob,
  enqueuedAt: number,
  endedAt: number,
): Promise<JobResult> {
  const result = await publisher.publishInvalid({ queueName, queueJobId, job, enqueuedAt, endedAt });
  if (result.isNew) events.emit('invalid', queueJobId, job);
  return resultOf({ ...result, status: 'failed' });
}

/** Ends a job in the backlog at its deadline. It stays in the queue; the worker that fetches it finds that it was published. */
export async function endOverdue(
  options: JobWorkerOptions,
  { queueJobId, data, enqueuedAt, progress }: QueuedJob,
  endedAt: number,
): Promise<void> {
  const job = parseJobData(data, options.projectId);
  if ('problems' in job) {
    await endInvalid(options, queueJobId, job, enqueuedAt, endedAt);
    return;
  }
  const { at } = deadlineFor(options, job, enqueuedAt);
  const history = progress?.history ?? NEW_HISTORY;
  const ended: EndedJob = { job, enqueuedAt, endedAt, verdict: timedOut(history, at - enqueuedAt), history };
  const result = await options.publisher.publish(ended);
  // The run of a worker may have published it at the same moment.
  if (result.isNew) options.events.emit('ended', ended, result);
}
