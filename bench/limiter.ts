import { setTimeout as sleep } from 'node:timers/promises';
import { jobIds, report } from './fleet-part.js';
import { type Row, worstSecond } from './numbers.js';
import type { BenchOptions } from './options.js';
import type { Setting } from './setting.js';
import { Fleet } from './sidecars.js';
import { versions } from './versions.js';

const SIZES = [1, 3, 8, 20];
/** The default, two that no window of whole milliseconds divides, and one below the number of sidecars. */
const LIMITS = [100, 72, 99, 2];
/** More than any of the limits lets through. */
const JOBS = 4_000;
const SECONDS = 10;
/** A low limit takes longer to be seen. */
const SECONDS_BELOW_10 = 20;
const WARM_UP_MS = 4_000;

/** Sidecars on one queue with far more to do than the limit allows. */
export async function limiter(setting: Setting, options: BenchOptions) {
  const rows: Row[] = [];
  const builds = versions(options.base);
  for (const limit of options.limits ?? LIMITS) {
    for (const size of options.sizes ?? SIZES) {
      for (const version of builds) {
        const fleet = await Fleet.start(setting, version, size, { CFW_RATE_LIMIT: `${limit}` });
        await setting.enqueue(jobIds(JOBS));
        await sleep(WARM_UP_MS);
        const seconds = options.seconds ?? (limit < 10 ? SECONDS_BELOW_10 : SECONDS);
        const { log, seconds: measured, disturbed } = await fleet.measure(seconds * 1_000);
        const shares = fleet.sidecars.map(({ token }) => ((log.byToken[token] ?? 0) / log.times.length) * 100);
        await fleet.end();
        rows.push({
          limit: `${limit}/s`,
          sidecars: `${size}`,
          version: version.name,
          'calls/s': (log.times.length / measured).toFixed(1),
          'worst second': worstSecond(log.times),
          'share of each, %': `${Math.min(...shares).toFixed(1)} to ${Math.max(...shares).toFixed(1)}`,
          'disturbed, %': disturbed,
        });
        report(rows);
      }
    }
  }
  return { rows, conclusions: [] };
}
