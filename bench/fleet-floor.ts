import { setTimeout as sleep } from 'node:timers/promises';
import { type FleetPart, report, sum } from './fleet-part.js';
import { cpuMs } from './meters.js';
import type { Row } from './numbers.js';

const SIZES = [1, 8, 20];
/** Over all processes. */
const CALLS_PER_SECOND = 100;
/** As sidecars that have more to do than they may. */
const SLOT_MS = 30;
const WARM_UP_MS = 30_000;
const SECONDS = 20;

/**
 * What calls by got, set up as usual, cost alone and with a script of Redis, at the pace of a fleet and without any
 * queue, from as many processes as the fleet has sidecars.
 */
export async function floor({ setting, options }: FleetPart): Promise<Row[]> {
  const rows: Row[] = [];
  const seconds = options.seconds ?? SECONDS;
  const cloud = await setting.child('fast-cloud-process');
  const env = { CFW_ENDPOINT: await cloud.ask<string>('url') };
  for (const size of options.sizes ?? SIZES) {
    for (const withScript of [false, true]) {
      const children = await Promise.all(Array.from({ length: size }, () => setting.child('bare-process', env)));
      const usedMs = () => sum(children.map(({ process }) => cpuMs(process.pid as number)));
      const pace = { callsPerSecond: CALLS_PER_SECOND / size, slotMs: SLOT_MS * size, withScript };
      for (const child of children) {
        child.ask('paced', pace).catch(() => {});
        await sleep(SLOT_MS);
      }
      await sleep(WARM_UP_MS);
      const [before, callsBefore] = [usedMs(), await cloud.ask<number>('calls')];
      await sleep(seconds * 1_000);
      const calls = (await cloud.ask<number>('calls')) - callsBefore;
      const took = usedMs() - before;
      await Promise.all(children.map((child) => child.end()));
      rows.push({
        processes: `${size}`,
        what: withScript ? 'a call by got, and a script of Redis' : 'a call by got',
        'calls/s': calls / seconds,
        'CPU, µs a call': (took / calls) * 1_000,
      });
      report(rows);
    }
  }
  await cloud.end();
  return rows;
}
