import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { PollAnswer } from '../../src/polling/index.js';
import { JobEvents, JobWorker, type JobWorkerOptions } from '../../src/queue/index.js';

export const RUNNING: PollAnswer = { kind: 'job', status: 'Running', beginTime: null, endTime: null };
export const SUCCESS: PollAnswer = { ...RUNNING, status: 'Success' };

/** A worker whose cloud is a function and whose events are only counted, and what it has done. */
export function startWorker(redis: Redis, options: Partial<JobWorkerOptions> = {}) {
  const ended: string[] = [];
  const errors: string[] = [];
  const late: number[] = [];
  const events = new JobEvents();
  events.on('error', (error) => errors.push((error as Error).message));
  events.on('polled', ({ lateMs }) => late.push(lateMs));
  const worker = new JobWorker({
    redis,
    queueName: 'cfw-jobs',
    queuePrefix: '{cfw}',
    concurrency: 100,
    ratePerSecond: 0,
    projectId: 'p',
    timeoutMs: 600_000,
    callTimeoutMs: 10_000,
    dedupTtlMs: 600_000,
    schedule: () => 200,
    poll: async () => RUNNING,
    publisher: {
      find: async () => undefined,
      publish: async ({ job }) => {
        ended.push(job.jobId);
        return { entryId: '1-0', isNew: true, event: null };
      },
      publishInvalid: async () => ({ entryId: '1-0', isNew: true, event: null }),
    },
    events,
    ...options,
  });
  worker.start();
  return { worker, ended, errors, late, events };
}

/** Adds jobs j0, j1 … of the project p, as the helpers do. */
export async function enqueue(redis: Redis, count: number, from = 0): Promise<void> {
  const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: redis });
  const ids = Array.from({ length: count }, (_, n) => `j${from + n}`);
  await queue.addBulk(ids.map((jobId) => ({ name: 'x', data: { jobId }, opts: { jobId: `p.${jobId}` } })));
  await queue.close();
}
