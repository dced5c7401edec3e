import { setTimeout as sleep } from 'node:timers/promises';
import { type FleetPart, report } from './fleet-part.js';
import { cpuMs } from './meters.js';
import type { Row } from './numbers.js';

const CALLS_PER_SECOND = 100;
/** As a sidecar that has more to do than it may. */
const SLOT_MS = 30;
const WARM_UP_MS = 30_000;
const SECONDS = 20;

/** What calls by got, set up as usual, cost alone and with a script of Redis, at the pace of one sidecar and without any queue. */
export async function floor({ setting, options }: FleetPart): Promise<Row[]> {
  const rows: Row[] = [];
  const seconds = options.seconds ?? SECONDS;
  const cloud = await setting.child('fast-cloud-process');
  const env = { CFW_ENDPOINT: await cloud.ask<string>('url') };
  for (const [what, withScript] of [
    ['a call by got', false],
    ['a call by got, and a script of Redis', true],
  ] as const) {
    const child = await setting.child('bare-process', env);
    const paced = child.ask('paced', { callsPerSecond: CALLS_PER_SECOND, slotMs: SLOT_MS, withScript });
    await Promise.race([paced, sleep(WARM_UP_MS)]);
    const [before, callsBefore] = [cpuMs(child.process.pid as number), await cloud.ask<number>('calls')];
    await sleep(seconds * 1_000);
    const calls = (await cloud.ask<number>('calls')) - callsBefore;
    const took = cpuMs(child.process.pid as number) - before;
    await child.end();
    rows.push({ what, 'calls/s': calls / seconds, 'CPU, µs a call': (took / calls) * 1_000 });
    report(rows);
  }
  await cloud.end();
  return rows;
}
