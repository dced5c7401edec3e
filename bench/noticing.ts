import { setTimeout as sleep } from 'node:timers/promises';
import { logNormal, repeatable } from '../src/simulator/index.js';
import { mean, quantile } from './numbers.js';
import type { Setting } from './setting.js';

/** Everything happens so many times faster than in the cloud: 3 minutes become 9 seconds. */
const SCALE = 20;
const MEDIAN_MS = 180_000;
const SIGMA = 0.35;
const JOBS = 500;

/** Schedules by their settings in the cloud's time. */
const SCHEDULES: Record<string, { initial: number; factor: number; max: number }> = {
  'Terraform: every 10 s': { initial: 10_000, factor: 1, max: 10_000 },
  'Open Telekom Cloud: every 5 s': { initial: 5_000, factor: 1, max: 5_000 },
  'exponential 1 s × 2, at most 60 s': { initial: 1_000, factor: 2, max: 60_000 },
  'exponential 1 s × 1.5, at most 10 s': { initial: 1_000, factor: 1.5, max: 10_000 },
};

/** How long after its end at the cloud a job's event is on the stream, and what that costs in polls. */
export async function noticing(setting: Setting) {
  const rows = [];
  for (const [schedule, { initial, factor, max }] of Object.entries(SCHEDULES)) {
    const random = repeatable(1);
    await setting.sidecar({
      POLL_INITIAL_DELAY: `${initial / SCALE}`,
      POLL_BACKOFF_FACTOR: `${factor}`,
      POLL_MAX_DELAY: `${max / SCALE}`,
    });
    const jobIds = await setting.makeJobs(JOBS, () => ({
      durationMs: logNormal(MEDIAN_MS / SCALE, SIGMA, random),
    }));
    await setting.enqueue(jobIds);
    while ((await setting.redis.xlen('{cfw}:events')) < JOBS) await sleep(200);

    const publishedAt = new Map<string, number>();
    for (const [, fields] of await setting.redis.xrange('{cfw}:events', '-', '+')) {
      const field = (name: string) => fields[fields.indexOf(name) + 1] as string;
      publishedAt.set(field('subject'), Date.parse(field('time')));
    }
    const jobs = await setting.callTimes();
    const late = jobs.map(({ jobId, endsAt }) => ((publishedAt.get(jobId) as number) - endsAt) * SCALE);
    rows.push({
      schedule,
      'polls of a job': mean(jobs.map(({ callTimes }) => callTimes.length)),
      'noticed after, s (mean)': mean(late) / 1_000,
      '(p99)': quantile(late, 0.99) / 1_000,
    });
    await setting.reset();
  }
  return { rows, conclusions: [`time runs ${SCALE} times faster; figures are in the cloud's time`] };
}
