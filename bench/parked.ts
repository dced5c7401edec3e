import { setTimeout as sleep } from 'node:timers/promises';
import { jobIds, report, sum } from './fleet-part.js';
import type { Row } from './numbers.js';
import type { Setting } from './setting.js';
import { Fleet } from './sidecars.js';
import type { Version } from './versions.js';

/** Jobs that are due each second beside those that are parked: more than a sidecar can poll. */
const BUSY_JOBS = 10_000;
/** What waits for its first poll while the queue is filled, so that the backlog takes no part in what is measured. */
const MAX_WAITING = 10_000;
const CHUNK = 1_000;
const IDLE_MS = 10_000;
const WARM_UP_MS = 8_000;
const MEASURE_MS = 10_000;
const STALLED_AFTER_MS = 60_000;
/** Jobs are polled once, and then not for hours. */
const LONG = { POLL_INITIAL_DELAY: '6h', POLL_BACKOFF_FACTOR: '1', POLL_MAX_DELAY: '6h', POLL_TIMEOUT: '20h' };
const EVERY_SECOND = { POLL_INITIAL_DELAY: '1s', POLL_BACKOFF_FACTOR: '1', POLL_MAX_DELAY: '1s' };
/** How long the last look at all jobs took, if this version tells. */
const FULL_LOOK = 'cfw_job_poller_housekeeper_look_seconds';

/** One sidecar beside so many parked jobs: what they cost it and Redis, when it is idle and when it is busy. */
export async function parked(setting: Setting, version: Version, size: number): Promise<Row> {
  const env = {
    ...LONG,
    POLL_SCHEDULE: 'exponential',
    NODE_OPTIONS: '--max-old-space-size=192 --max-semi-space-size=16',
  };
  const fleet = await Fleet.start(setting, version, 1, env);
  const empty = await setting.redisBytes();
  const begunAt = performance.now();
  await fill(setting, fleet, size);
  const fillSeconds = (performance.now() - begunAt) / 1_000;
  // What it held is parked by its stop.
  await fleet.sidecars.pop()?.end('SIGTERM');
  await fleet.cloud.ask('forget');
  const bytes = (await setting.redisBytes()) - empty;

  const sidecar = await fleet.add(EVERY_SECOND);
  await sleep(WARM_UP_MS);
  const idle = await fleet.measure(IDLE_MS);
  const idleRssMb = sidecar.rssMb;
  await setting.enqueue(jobIds(size + BUSY_JOBS).slice(size));
  await sleep(WARM_UP_MS);
  const busy = await fleet.measure(MEASURE_MS);
  const calls = busy.log.times.length;
  const look = (await sidecar.metric(FULL_LOOK)) ?? (await sidecar.metric(`${FULL_LOOK}_sum`));
  const busyRssMb = sidecar.rssMb;
  await fleet.end();
  const row = {
    parked: size.toLocaleString('en'),
    version: version.name,
    'parked a second': size === 0 ? '' : size / fillSeconds,
    'Redis, MB': bytes / 2 ** 20,
    '(bytes a job)': size === 0 ? '' : bytes / size,
    'idle: commands/s': idle.redis.commands / idle.seconds,
    'CPU, %': (sum(idle.cpuMs) / idle.seconds / 10).toFixed(2),
    'RSS, MB': idleRssMb,
    'busy: polls/s': calls / busy.seconds,
    'CPU, µs a poll': (sum(busy.cpuMs) / calls) * 1_000,
    'Redis, µs a poll': (busy.redis.cpuMs / calls) * 1_000,
    'RSS then, MB': busyRssMb,
    'full look, s': look ?? '',
  };
  report([row]);
  return row;
}

/** Adds jobs as fast as they get their first poll, and waits until all have had it. */
async function fill(setting: Setting, fleet: Fleet, size: number): Promise<void> {
  const ids = jobIds(size);
  let added = 0;
  let polled = 0;
  for (let changedAt = Date.now(); polled < size; ) {
    const now = await fleet.cloud.ask<number>('polledJobs');
    if (now > polled) changedAt = Date.now();
    polled = now;
    const stalled = Date.now() - changedAt > STALLED_AFTER_MS;
    if (stalled || fleet.sidecars[0]?.ended !== false) {
      throw new Error(`the sidecar ${stalled ? 'stalled' : 'ended'} with ${polled} of ${size} jobs polled`);
    }
    if (added < size && added - polled < MAX_WAITING) {
      await setting.enqueue(ids.slice(added, added + CHUNK));
      added = Math.min(size, added + CHUNK);
    } else {
      await sleep(20);
    }
  }
}
