import { setTimeout as sleep } from 'node:timers/promises';
import { type FleetPart, queueJobs, report } from './fleet-part.js';
import { redisWork } from './meters.js';
import { quantile, type Row } from './numbers.js';
import type { Setting } from './setting.js';
import { Fleet, type Sidecar } from './sidecars.js';

const JOBS = 1_000;
const SIZE = 8;
/** From enqueueing to the first deadline. */
const TIMEOUT_MS = 6_000;
/** Deadlines that meet kills come one after another over this time. */
const SPREAD_MS = 27_000;
const KILL_EVERY_MS = 3_500;
const PATIENCE_MS = 20_000;
/** A sidecar may publish what another one has published: that work is counted, too. */
const AFTERMATH_MS = 3_000;
const STREAM = '{cfw}:events';
/** 1 in the sidecar that watches deadlines for all, if one does; it is the one to kill then. */
const HOUSEKEEPER = 'cfw_job_poller_housekeeper';

/** Jobs of a paused queue that all time out at once, watched by several sidecars. */
export async function timeouts({ setting, versions }: FleetPart): Promise<Row[]> {
  const rows: Row[] = [];
  for (const version of versions) {
    const fleet = await startPaused(setting, version);
    const { scripts } = await enqueue(setting, () => TIMEOUT_MS);
    await sleep(TIMEOUT_MS);
    const late = await lateness(setting);
    await sleep(AFTERMATH_MS);
    const done = await redisWork(setting.redis);
    await fleet.end();
    rows.push({ version: version.name, ...figures(late), 'scripts run': done.scripts - scripts });
    report(rows);
  }
  return rows;
}

/** The same with deadlines over half a minute, in which one sidecar after another is killed and replaced. */
export async function kills({ setting, versions }: FleetPart): Promise<Row[]> {
  const rows: Row[] = [];
  for (const version of versions) {
    const fleet = await startPaused(setting, version);
    // Each of the first sidecars is killed once, so that the housekeeper is among them even if its metric is not there.
    const inTurn = [...fleet.sidecars];
    await enqueue(setting, (n) => TIMEOUT_MS + (SPREAD_MS * n) / JOBS);
    await sleep(TIMEOUT_MS);
    let killed = 0;
    let housekeepers = 0;
    for (const until = Date.now() + SPREAD_MS; Date.now() < until; ) {
      const next = Date.now() + KILL_EVERY_MS;
      const housekeeper = await findHousekeeper(fleet.sidecars);
      const victim = housekeeper ?? inTurn.find((sidecar) => !sidecar.ended) ?? fleet.sidecars[0];
      await fleet.kill(victim as Sidecar);
      killed += 1;
      if (housekeeper !== undefined) housekeepers += 1;
      await fleet.add();
      await sleep(Math.max(0, next - Date.now()));
    }
    const late = await lateness(setting);
    await fleet.end();
    rows.push({ version: version.name, ...figures(late), killed, 'of them housekeepers': housekeepers });
    report(rows);
  }
  return rows;
}

async function startPaused(setting: Setting, version: FleetPart['versions'][number]): Promise<Fleet> {
  await setting.queue.pause();
  return await Fleet.start(setting, version, SIZE, { CFW_RATE_LIMIT: '100' });
}

/** @returns what Redis had done once all were there. */
async function enqueue(setting: Setting, timeoutMs: (n: number) => number) {
  await setting.queue.addBulk(queueJobs(JOBS, { timeoutMs: (n) => Math.round(timeoutMs(n)) }));
  return await redisWork(setting.redis);
}

async function findHousekeeper(sidecars: readonly Sidecar[]): Promise<Sidecar | undefined> {
  const values = await Promise.all(sidecars.map((sidecar) => sidecar.metric(HOUSEKEEPER)));
  return sidecars[values.indexOf(1)];
}

/** Waits for an event of each job. @returns how long after its deadline each was on the stream, by Redis's clock. */
async function lateness({ redis, queue }: Setting): Promise<number[]> {
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(100)) {
    if ((await redis.xlen(STREAM)) >= JOBS) break;
  }
  const late: number[] = [];
  for (const [entryId, fields] of await redis.xrange(STREAM, '-', '+')) {
    const data = JSON.parse(fields[fields.indexOf('data') + 1] as string);
    if (data.reason !== 'TIMED_OUT') throw new Error(`a job ended with ${data.reason}: expected TIMED_OUT`);
    const job = await queue.getJob(`${data.projectId}.${data.jobId}`);
    if (job === undefined) throw new Error(`BullMQ has forgotten ${data.jobId}: expected it among the last that ended`);
    late.push(Number(entryId.split('-')[0]) - (job.timestamp + job.data.timeoutMs));
  }
  return late;
}

function figures(late: readonly number[]) {
  return {
    'deadlines, sidecars': `${JOBS}, ${SIZE}`,
    events: late.length,
    'late, s (median)': (quantile(late, 0.5) / 1_000).toFixed(2),
    '(p99)': (quantile(late, 0.99) / 1_000).toFixed(2),
    '(worst)': (Math.max(...late) / 1_000).toFixed(2),
    '(earliest)': (Math.min(...late) / 1_000).toFixed(2),
  };
}
