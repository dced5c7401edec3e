import { setTimeout as sleep } from 'node:timers/promises';
import { MIN_WATCHED } from '../src/polling/index.js';
import { repeatable } from '../src/simulator/index.js';
import { DISTRIBUTIONS, type Distribution } from './distributions.js';
import { mean, quantile } from './numbers.js';
import { optimumWith } from './optimum.js';
import type { Setting } from './setting.js';

/** Everything happens so many times faster than in the cloud: 3 minutes become 9 seconds. */
const SCALE = 20;
const JOBS = 500;

/** Schedules by their settings in the cloud's time. */
const SCHEDULES: Record<string, { initial: number; factor: number; max: number; learned?: true }> = {
  'Terraform: every 10 s': { initial: 10_000, factor: 1, max: 10_000 },
  'Open Telekom Cloud: every 5 s': { initial: 5_000, factor: 1, max: 5_000 },
  'exponential 1 s × 2, at most 60 s': { initial: 1_000, factor: 2, max: 60_000 },
  'exponential 1 s × 1.5, at most 10 s': { initial: 1_000, factor: 1.5, max: 10_000 },
  [`learned from ${JOBS} jobs`]: { initial: 1_000, factor: 1.5, max: 10_000, learned: true },
};

/** How long after its end at the cloud a job's event is on the stream, and what that costs in polls. */
export async function noticing(setting: Setting) {
  const rows = [];
  for (const distribution of DISTRIBUTIONS) {
    const row = (schedule: string, polls: number, meanMs: number, p99: string) => ({
      distribution: distribution.name,
      schedule,
      'polls of a job': polls,
      'noticed after, s (mean)': meanMs / 1_000,
      '(p99)': p99,
    });
    for (const [schedule, { initial, factor, max, learned }] of Object.entries(SCHEDULES)) {
      await setting.sidecar({
        POLL_INITIAL_DELAY: `${initial / SCALE}`,
        POLL_BACKOFF_FACTOR: `${factor}`,
        POLL_MAX_DELAY: `${max / SCALE}`,
        POLL_SCHEDULE: learned ? 'learned' : 'exponential',
        POLL_PRICE: `${500 / SCALE}`,
      });
      // Jobs to learn from come one after another, over the time that they have to be watched for.
      if (learned) {
        const p90 = quantile(drawn(distribution, 10_000, 3), 0.9);
        await follow(setting, drawn(distribution, JOBS, 2), (MIN_WATCHED * p90) / SCALE);
        // The schedule is made anew every 10 s.
        await sleep(11_000);
      }
      const { polls, late } = await follow(setting, drawn(distribution, JOBS, 1), 0);
      rows.push(row(schedule, polls, mean(late), (quantile(late, 0.99) / 1_000).toFixed(1)));
      if (learned) {
        const { expectedDelayMs } = optimumWith(distribution, polls);
        rows.push(row('the optimum with as many polls (computed)', polls, expectedDelayMs, ''));
      }
      await setting.reset();
    }
  }
  return { rows, conclusions: [`time runs ${SCALE} times faster; figures are in the cloud's time`] };
}

function drawn({ draw }: Distribution, count: number, seed: number): number[] {
  const random = repeatable(seed);
  return Array.from({ length: count }, () => draw(random));
}

/**
 * Watches jobs to their ends.
 *
 * @param durationsMs in the cloud's time.
 * @param overMs jobs begin one after another over this time; all at once where it is 0.
 * @returns polls of a job, and how late each was noticed, in the cloud's time.
 */
async function follow(setting: Setting, durationsMs: readonly number[], overMs: number) {
  const parts = overMs === 0 ? 1 : 100;
  const size = Math.ceil(durationsMs.length / parts);
  const events = await setting.redis.xlen('{cfw}:events');
  for (let from = 0; from < durationsMs.length; from += size) {
    const part = durationsMs.slice(from, from + size);
    const script = (n: number) => ({ durationMs: (part[n] as number) / SCALE, timeFormat: 'epoch' as const });
    await setting.enqueue(await setting.makeJobs(part.length, script));
    await sleep(overMs / parts);
  }
  while ((await setting.redis.xlen('{cfw}:events')) < events + durationsMs.length) await sleep(200);
  // The cloud tells of the jobs that were made last.
  const jobs = await setting.callTimes();
  const publishedAt = new Map<string, number>();
  for (const [, fields] of await setting.redis.xrange('{cfw}:events', '-', '+')) {
    const field = (name: string) => fields[fields.indexOf(name) + 1] as string;
    publishedAt.set(field('subject'), Date.parse(field('time')));
  }
  return {
    polls: mean(jobs.map(({ callTimes }) => callTimes.length)),
    late: jobs.map(({ jobId, endsAt }) => ((publishedAt.get(jobId) as number) - endsAt) * SCALE),
  };
}
