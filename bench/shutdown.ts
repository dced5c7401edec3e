import { setTimeout as sleep } from 'node:timers/promises';
import { quantile, type Row } from './numbers.js';
import type { BenchOptions } from './options.js';
import type { Setting } from './setting.js';
import { Sidecar } from './sidecars.js';
import { type Version, versions } from './versions.js';

const HELD = 1_000;

/** SIGTERM with 1,000 held jobs, then another process: is each job polled when it was due? */
export async function shutdown(setting: Setting, options: BenchOptions) {
  const rows: Row[] = [];
  for (const version of versions(options.base)) {
    rows.push(await stopAndGoOn(setting, version));
    await setting.reset();
  }
  return { rows, conclusions: [] };
}

async function stopAndGoOn(setting: Setting, version: Version): Promise<Row> {
  // Room to hold them all; 14 s between polls, so that none is due while the process stops.
  const env = {
    ...setting.environment,
    WORKER_CONCURRENCY: '2500',
    POLL_INITIAL_DELAY: '14s',
    POLL_BACKOFF_FACTOR: '1',
    POLL_MAX_DELAY: '14s',
  };
  const first = await Sidecar.start(version, env);
  // A few at a time, as jobs are held only where none waits; those that are not held are parked.
  const jobIds: string[] = [];
  let held = 0;
  while (held < HELD) {
    const more = await setting.makeJobs(10);
    jobIds.push(...more);
    await setting.enqueue(more);
    await sleep(20);
    held = await setting.queue.getActiveCount();
  }
  await sleep(500);
  const stoppedAt = Date.now();
  await first.end('SIGTERM');
  const stopMs = Date.now() - stoppedAt;
  const { active = 0, delayed = 0 } = await setting.queue.getJobCounts('active', 'delayed');
  const dueAt = new Map<string, number>();
  for (const job of await setting.queue.getJobs(['delayed'])) {
    dueAt.set(job.data.jobId, (job.progress as { dueAt: number }).dueAt);
  }

  const second = await Sidecar.start(version, env);
  let late: number[] = [];
  for (const until = Date.now() + 60_000; late.length < jobIds.length && Date.now() < until; await sleep(200)) {
    late = (await setting.callTimes(jobIds)).flatMap(({ jobId, callTimes: [, second] }) =>
      second === undefined ? [] : [second - (dueAt.get(jobId) ?? Number.NaN)],
    );
  }
  await second.end();
  return {
    version: version.name,
    'held jobs': held,
    'gone after, ms': stopMs,
    'left active': active,
    parked: delayed,
    'next poll later than due, ms (median)': quantile(late, 0.5),
    '(worst)': Math.max(...late),
    '(earliest)': Math.min(...late),
  };
}
