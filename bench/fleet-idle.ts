import { setTimeout as sleep } from 'node:timers/promises';
import { type FleetPart, queueJobs, report, sum } from './fleet-part.js';
import type { Row } from './numbers.js';
import { Fleet } from './sidecars.js';

const SIZES = [1, 8];
const FAR_OFF_JOBS = 2_000;
/** Far beyond the measurement, and before the deadline. */
const FAR_OFF = { delayMs: 3_600_000, timeoutMs: () => 7_200_000 };
const SECONDS = 12;
const SETTLE_MS = 12_000;

/** Sidecars with nothing to do: with an empty queue, and with jobs that their producer has delayed for an hour. */
export async function idle({ setting, versions, options }: FleetPart): Promise<Row[]> {
  const rows: Row[] = [];
  for (const size of options.sizes ?? SIZES) {
    for (const version of versions) {
      const fleet = await Fleet.start(setting, version, size, { CFW_RATE_LIMIT: '100' });
      for (const queue of ['empty', `${FAR_OFF_JOBS} far-off jobs`]) {
        if (queue !== 'empty') await setting.queue.addBulk(queueJobs(FAR_OFF_JOBS, FAR_OFF));
        await sleep(SETTLE_MS);
        const { redis, cpuMs, seconds, disturbed } = await fleet.measure((options.seconds ?? SECONDS) * 1_000);
        const percent = cpuMs.map((ms) => ms / seconds / 10);
        rows.push({
          queue,
          sidecars: `${size}`,
          version: version.name,
          'commands/s of each': redis.commands / seconds / size,
          'CPU of each, %': (sum(percent) / size).toFixed(2),
          '(the busiest)': Math.max(...percent).toFixed(2),
          'Redis, %': (redis.cpuMs / seconds / 10).toFixed(2),
          'disturbed, %': disturbed,
        });
        report(rows);
      }
      await fleet.end();
    }
  }
  return rows;
}
