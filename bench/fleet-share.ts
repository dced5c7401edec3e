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
const BEFORE_MS = 5_000;
const WATCH_MS = 9_000;
/** The rate counts as reached again when there are so many calls as before in a second, and on average from then on. */
const ENOUGH = { inSecond: 0.95, onAverage: 0.97 };

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
      const before: number[] = [];
      for (let n = 0; n < KILLS; n += 1) {
        const { log, seconds } = await fleet.measure(BEFORE_MS);
        const perSecond = log.times.length / seconds;
        before.push(perSecond);
        const from = performance.timeOrigin + performance.now();
        await fleet.kill(fleet.sidecars[0] as Sidecar);
        await sleep(WATCH_MS);
        const { times } = await fleet.cloud.ask<CallLog>('log', { from, to: from + WATCH_MS });
        backMs.push(
          backAfter(
            times.map((at) => at - from),
            perSecond,
          ),
        );
        lost.push((perSecond * WATCH_MS) / 1_000 - times.length);
        worst = Math.max(worst, worstSecond(times));
        await fleet.add();
        await sleep(WARM_UP_MS / 2);
      }
      await fleet.end();
      rows.push({
        'one of': `${size} sidecars`,
        version: version.name,
        'calls/s before': before.map((n) => n.toFixed(1)).join(', '),
        'reached again after, s': backMs.map((ms) => (ms / 1_000).toFixed(1)).join(', '),
        [`calls lost in ${WATCH_MS / 1_000} s`]: lost.map((n) => Math.round(n)).join(', '),
        'worst second': worst,
      });
      report(rows);
    }
  }
  return rows;
}

/** The earliest time from which on the rate is what it was: in the second that begins with it, and in all that follows. */
function backAfter(times: readonly number[], perSecond: number): number {
  const within = (from: number, to: number) => times.filter((at) => at >= from && at < to).length;
  for (let from = 0; from <= WATCH_MS - 1_000; from += 50) {
    const rest = (perSecond * (WATCH_MS - from)) / 1_000;
    const inSecond = within(from, from + 1_000) >= ENOUGH.inSecond * perSecond;
    if (inSecond && within(from, WATCH_MS) >= ENOUGH.onAverage * rest) return from;
  }
  return Number.POSITIVE_INFINITY;
}
