import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from './numbers.js';
import type { Setting } from './setting.js';

const JOBS = 1_000;

/** SIGTERM with 1,000 held jobs, then another process: is each job polled when it was due? */
export async function shutdown(setting: Setting) {
  // Room to hold them all; 10 s between polls, so that none is due while the process stops.
  const env = {
    WORKER_CONCURRENCY: '2500',
    POLL_INITIAL_DELAY: '10s',
    POLL_BACKOFF_FACTOR: '1',
    POLL_MAX_DELAY: '10s',
  };
  const first = await setting.sidecar(env);
  await setting.enqueue(await setting.makeJobs(JOBS));
  while ((await setting.calls()) < JOBS) await sleep(50);
  await sleep(1_000);
  const parkedBefore = await setting.queue.getDelayedCount();
  const stoppedAt = Date.now();
  await first.end('SIGTERM');
  const stopMs = Date.now() - stoppedAt;
  const { active = 0, delayed = 0 } = await setting.queue.getJobCounts('active', 'delayed');
  const dueAt = new Map<string, number>();
  for (const job of await setting.queue.getJobs(['delayed'])) {
    dueAt.set(job.data.jobId, (job.progress as { dueAt: number }).dueAt);
  }

  await setting.sidecar(env);
  let late: number[] = [];
  for (const until = Date.now() + 60_000; late.length < JOBS && Date.now() < until; await sleep(200)) {
    late = (await setting.callTimes()).flatMap(({ jobId, callTimes: [, second] }) =>
      second === undefined ? [] : [second - (dueAt.get(jobId) ?? Number.NaN)],
    );
  }
  return {
    rows: [
      {
        'held jobs': `${JOBS - parkedBefore}`,
        'gone after, ms': stopMs,
        'left active': active,
        parked: delayed,
        'next poll later than due, ms (median)': quantile(late, 0.5),
        '(worst)': Math.max(...late),
        '(earliest)': Math.min(...late),
      },
    ],
    conclusions: [],
  };
}
