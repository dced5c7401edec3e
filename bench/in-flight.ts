import { setTimeout as sleep } from 'node:timers/promises';
import { mean, quantile, type Row } from './numbers.js';
import type { BenchOptions } from './options.js';
import { parked } from './parked.js';
import type { Setting } from './setting.js';
import type { Usage } from './usage.js';
import { versions } from './versions.js';

/** Jobs at the same time, and for how long to look once all have been polled. */
const SIZES = [1_000, 10_000, 100_000, 1_000_000];
/** From here on jobs are not a burst, but parked; and beside them a queue without any. */
const PARKED_FROM = 200_000;
const MEASURE_MS = 10_000;
const PATIENCE_MS = 300_000;

/** Bursts of jobs, and what is measured beside many parked jobs: the first poll of 1,000,000 takes eight minutes. */
export async function inFlight(setting: Setting, options: BenchOptions) {
  const sizes = options.sizes ?? SIZES;
  const rows: Row[] = [];
  for (const size of sizes.filter((size) => size < PARKED_FROM)) rows.push(await burst(setting, size));
  const beside: Row[] = [];
  const many = sizes.filter((size) => size >= PARKED_FROM);
  const builds = many.length === 0 ? [] : versions(options.base);
  for (const size of many.length === 0 ? [] : [0, ...many]) {
    for (const version of builds) beside.push(await parked(setting, version, size));
  }
  return { rows, tables: { burst: rows, parked: beside }, conclusions: [] };
}

/** One process, no rate limit, the default schedule: what jobs in flight cost, and when the jobs of a burst are polled. */
async function burst(setting: Setting, size: number): Promise<Row> {
  const jobIds = await setting.makeJobs(size);
  const empty = await setting.redisBytes();
  // As the image has it.
  const child = await setting.sidecar({ NODE_OPTIONS: '--max-old-space-size=192 --max-semi-space-size=16' });
  await sleep(1_000);
  await child.ask('usage');
  const before = await setting.calls();
  const enqueuedAt = Date.now();
  await setting.enqueue(jobIds);
  const enqueuedMs = Date.now() - enqueuedAt;
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(200)) {
    if ((await setting.calls()) - before >= size) break;
  }
  // The first calls of some may still be to come, while others have had several.
  let firstDelays: number[] = [];
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(1_000)) {
    firstDelays = (await setting.callTimes()).flatMap(({ callTimes: [first] }) =>
      first === undefined ? [] : [first - enqueuedAt],
    );
    if (firstDelays.length === size) break;
  }
  const inBurst = await child.ask<Usage>('usage');
  const polled = await setting.calls();
  await sleep(MEASURE_MS);
  const usage = await child.ask<Usage>('usage');
  const row = {
    'in flight': `${size}`,
    'enqueued in, s': enqueuedMs / 1_000,
    'first poll after, s (mean)': mean(firstDelays) / 1_000,
    '(p99)': quantile(firstDelays, 0.99) / 1_000,
    '(all)': Math.max(...firstDelays) / 1_000,
    'polls/s': (((await setting.calls()) - polled) / usage.wallMs) * 1_000,
    'RSS, MB': Math.max(usage.rssMb, inBurst.rssMb),
    'event loop late in the burst, ms (p99)': inBurst.loopDelayP99Ms,
    'after it': usage.loopDelayP99Ms,
    'Redis, bytes a job': ((await setting.redisBytes()) - empty) / size,
  };
  await setting.reset();
  return row;
}
