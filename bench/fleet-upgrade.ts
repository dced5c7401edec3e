import { setTimeout as sleep } from 'node:timers/promises';
import type { CallLog } from './fast-cloud-process.js';
import { type FleetPart, jobIds, report } from './fleet-part.js';
import { type Row, worstSecond } from './numbers.js';
import { Fleet, type Sidecar } from './sidecars.js';

const JOBS = 2_000;
const LIMIT = 100;
/** Of each version, while both run. */
const SIDECARS = 2;
const ALONE_MS = 10_000;
const TOGETHER_MS = 20_000;
/** Jobs of a killed process run again after 10 to 15 s; the rest takes as long as the limit makes it. */
const MAX_MS = 180_000;
const STREAM = '{cfw}:events';

/** A rolling upgrade under load, and a rollback: the versions side by side on one queue, and one process of the first killed. */
export async function upgrade({ setting, versions }: FleetPart): Promise<Row[]> {
  const [base, own] = versions;
  if (base === undefined || own === undefined) throw new Error('the part "upgrade" needs --base REV');
  const rows: Row[] = [];
  for (const [from, to] of [
    [base, own],
    [own, base],
  ] as const) {
    const fleet = await Fleet.start(setting, from, SIDECARS, { CFW_RATE_LIMIT: `${LIMIT}`, POLL_MAX_DELAY: '5s' });
    const since = performance.timeOrigin + performance.now();
    await setting.enqueue(jobIds(JOBS).map((id) => `short-${id}`));
    await sleep(ALONE_MS);
    const before = [...fleet.sidecars];
    for (let n = 0; n < SIDECARS; n += 1) await fleet.add({}, to);
    await sleep(TOGETHER_MS);
    const [killed, ...stopped] = before as [Sidecar, ...Sidecar[]];
    await fleet.kill(killed);
    for (const sidecar of stopped) {
      fleet.sidecars.splice(fleet.sidecars.indexOf(sidecar), 1);
      await sidecar.end('SIGTERM');
    }
    for (const until = Date.now() + MAX_MS; Date.now() < until; await sleep(500)) {
      if ((await setting.redis.xlen(STREAM)) >= JOBS) break;
    }
    // What is published twice would come now.
    await sleep(3_000);
    const entries = await setting.redis.xrange(STREAM, '-', '+');
    const ids = entries.map(([, fields]) => fields[fields.indexOf('id') + 1]);
    const { times } = await fleet.cloud.ask<CallLog>('log', {
      from: since,
      to: performance.timeOrigin + performance.now(),
    });
    await fleet.end();
    rows.push({
      upgrade: `${from.name} to ${to.name}`,
      events: ids.length,
      'of different jobs': new Set(ids).size,
      completed: entries.filter(([, fields]) => fields.includes('cfw.job.completed')).length,
      [`worst second, limit ${LIMIT}`]: worstSecond(times),
    });
    report(rows);
  }
  return rows;
}
