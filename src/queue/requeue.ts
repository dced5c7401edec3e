import type { JobsOptions, Queue } from 'bullmq';
import { watchKey } from '../events/index.js';
import { type PollJob, parseJobData } from './job.js';
import { formatProgress, type Progress } from './progress.js';
import { enqueueTime } from './queued.js';
import type { Taken } from './store.js';
import type { Forwarded, JobWorkerOptions } from './worker-options.js';

/**
 * A queue job with an id of its producer's own stands for a CFW job that may be in the queue already, under that id or others.
 * They all become the one queue job that is named after the CFW job, so that it is polled once.
 */
export async function forward(
  queue: Queue,
  { name, data, timestamp, priority, opts }: Taken,
  job: PollJob,
  now: number,
): Promise<Forwarded> {
  const forwardedTo = watchKey(job);
  await queue.add(name, data, {
    jobId: forwardedTo,
    timestamp: Math.round(enqueueTime(timestamp, now)),
    ...(priority > 0 ? { priority } : {}),
    ...traceOf(opts),
  });
  return { forwardedTo };
}

/** A job that was removed while a worker was on it was accepted, so it is put back, unless it has ended. */
export async function restore(
  queue: Queue,
  { projectId, publisher, events, redis }: JobWorkerOptions,
  { id, name, data, timestamp, opts }: Taken,
  delay: number,
  progress: Progress | undefined,
): Promise<void> {
  try {
    const job = parseJobData(data, projectId);
    if (!('problems' in job) && (await publisher.find(job)) !== undefined) return;
    await queue.add(name, data, { jobId: id, timestamp, delay, ...traceOf(opts) });
    if (progress !== undefined) await redis.hset(queue.toKey(id), 'progress', formatProgress(progress));
  } catch (error) {
    events.emit('error', error, id);
  }
}

/** The trace of a producer with OpenTelemetry, whether or not that is set up here. */
function traceOf({ telemetry }: JobsOptions): Pick<JobsOptions, 'telemetry'> {
  const metadata: unknown = telemetry?.metadata;
  return typeof metadata === 'string' ? { telemetry: { metadata } } : {};
}
