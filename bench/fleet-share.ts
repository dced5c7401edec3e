import { setTimeout as sleep } from 'node:timers/promises';
import type { CallLog } from './fast-cloud-process.js';
import { type FleetPart, jobIds, report } from './fleet-part.js';
import { type Row, worstSecond } from './numbers.js';
import { Fleet, type Sidecar } from './sidecars.js';

const SIZES = [3, 8];
const LIMIT = 100;
const IN_FLIGHT = 3_000;
const WARM_UP_MS = 8_000;
const KILLS = 2;
const WATCH_MS = 9_000;
/** The limit counts as reached again when so much of it is used, from then to the end. */
const ENOUGH = 0.97;

/** How long the share of a sidecar that was killed lies idle. */
export async function share({ setting, versions }: FleetPart): Promise<Row[]> {
  const rows: Row[] = [];
  for (const size of SIZES) {
    for (const version of versions) {
      const fleet = await Fleet.start(setting, version, size, { CFW_RATE_LIMIT: `${LIMIT}` });
      await setting.enqueue(jobIds(IN_FLIGHT));
      await sleep(WARM_UP_MS);
      const backMs: number[] = [];
      const lost: number[] = [];
      let worst = 0;
      for (let n = 0; n < KILLS; n += 1) {
        const from = performance.timeOrigin + performance.now();
        await fleet.kill(fleet.sidecars[0] as Sidecar);
        await sleep(WATCH_MS);
        const { times } = await fleet.cloud.ask<CallLog>('log', { from, to: from + WATCH_MS });
        backMs.push(backAfter(times.map((at) => at - from)));
        lost.push((LIMIT * WATCH_MS) / 1_000 - times.length);
        worst = Math.max(worst, worstSecond(times));
        await fleet.add();
        await sleep(WARM_UP_MS / 2);
      }
      await fleet.end();
      rows.push({
        'one of': `${size} sidecars`,
        version: version.name,
        'limit used again after, s': backMs.map((ms) => (ms / 1_000).toFixed(1)).join(', '),
        [`calls lost in ${WATCH_MS / 1_000} s`]: lost.join(', '),
        'worst second': worst,
      });
      report(rows);
    }
  }
  return rows;
}

/** The earliest time from which on the limit is used: in the second that begins with it, and in all that follows. */
function backAfter(times: readonly number[]): number {
  const within = (from: number, to: number) => times.filter((at) => at >= from && at < to).length;
  for (let from = 0; from <= WATCH_MS - 1_000; from += 50) {
    const all = (LIMIT * (WATCH_MS - from)) / 1_000;
    if (within(from, from + 1_000) >= ENOUGH * LIMIT && within(from, WATCH_MS) >= ENOUGH * all) return from;
  }
  return Number.POSITIVE_INFINITY;
}
