import { setTimeout as sleep } from 'node:timers/promises';
import { floor } from './fleet-floor.js';
import { idle } from './fleet-idle.js';
import { type FleetPart, jobIds, report, sum } from './fleet-part.js';
import { share } from './fleet-share.js';
import { kills, timeouts } from './fleet-timeouts.js';
import { upgrade } from './fleet-upgrade.js';
import { type Row, worstSecond } from './numbers.js';
import type { BenchOptions } from './options.js';
import type { Setting } from './setting.js';
import { Fleet } from './sidecars.js';
import { versions } from './versions.js';

const SIZES = [1, 3, 8, 20];
const IN_FLIGHT = 3_000;
/** Without a limit as many polls are made as jobs are due: 280 a second. */
const IN_FLIGHT_UNLIMITED = 2_000;
const LIMIT = 100;
const SECONDS = 20;
/** Until the jobs of a burst have had their first poll, or the backlog stands, and V8 has compiled what runs often. */
const WARM_UP_MS = 30_000;

const PARTS: Record<string, (part: FleetPart) => Promise<Row[]>> = {
  polls,
  floor,
  idle,
  timeouts,
  kills,
  share,
  upgrade,
};

/** What many sidecars on one queue cost, idle and at work, and what becomes of it when one is killed. */
export async function fleet(setting: Setting, options: BenchOptions) {
  // An upgrade takes two versions.
  const asked = options.parts ?? Object.keys(PARTS).filter((name) => name !== 'upgrade' || options.base !== undefined);
  const part = { setting, versions: versions(options.base), options };
  const tables: Record<string, Row[]> = {};
  for (const name of asked) {
    const run = PARTS[name];
    if (run === undefined) throw new Error(`--parts is invalid: expected some of ${Object.keys(PARTS).join(', ')}`);
    tables[name] = await run(part);
  }
  return { rows: [], tables, conclusions: [] };
}

/** Far more to do than the limit allows. */
async function polls({ setting, versions, options }: FleetPart): Promise<Row[]> {
  const rows: Row[] = [];
  for (const limit of options.limits ?? [LIMIT]) {
    for (const size of options.sizes ?? SIZES) {
      for (const version of versions) {
        const fleet = await Fleet.start(setting, version, size, { CFW_RATE_LIMIT: `${limit}` });
        await setting.enqueue(jobIds(limit === 0 ? IN_FLIGHT_UNLIMITED : IN_FLIGHT));
        await sleep(WARM_UP_MS);
        const { redis, cpuMs, log, seconds, disturbed } = await fleet.measure((options.seconds ?? SECONDS) * 1_000);
        const shares = fleet.sidecars.map(({ token }) => ((log.byToken[token] ?? 0) / log.times.length) * 100);
        await fleet.end();
        const calls = log.times.length;
        rows.push({
          sidecars: `${size}`,
          version: version.name,
          limit: limit === 0 ? 'none' : `${limit}/s`,
          'Redis, µs a poll': (redis.cpuMs / calls) * 1_000,
          'commands a poll': redis.commands / calls,
          'CPU, µs a poll': (sum(cpuMs) / calls) * 1_000,
          'calls/s': calls / seconds,
          'worst second': worstSecond(log.times),
          'share of each, %': `${Math.min(...shares).toFixed(1)} to ${Math.max(...shares).toFixed(1)}`,
          'disturbed, %': disturbed,
        });
        report(rows);
      }
    }
  }
  return rows;
}
