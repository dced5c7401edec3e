import { setTimeout as sleep } from 'node:timers/promises';
import { EventPublisher } from '../src/events/index.js';
import { NEW_HISTORY, timedOut } from '../src/polling/index.js';
import { jobIds, report } from './fleet-part.js';
import { quantile, type Row } from './numbers.js';
import { PROJECT, type Setting } from './setting.js';
import { Fleet } from './sidecars.js';
import { versions } from './versions.js';

const PARKED = 100_000;
const ENTRIES = 100_000;
/** Polled meanwhile, under the default limit. */
const BUSY = 3_000;
const REQUESTS = 200;
const PAUSE_MS = 20;
const CHUNK = 5_000;
/** BullMQ's scores of delayed jobs are their due times times this. */
const SCORE_UNIT = 4_096;
const QUERIES = [
  '',
  'state=queued',
  'state=polling',
  'state=polling&limit=200',
  'state=completed',
  'state=completed&limit=200',
  'state=failed',
  'jobId=parked-99999',
  'jobId=ended-5',
];

/** How long a page of `GET /v1/jobs` takes beside many parked and ended jobs, while 100 polls a second are made. */
export async function list(setting: Setting) {
  await park(setting);
  await end(setting);
  const [version] = versions(undefined);
  if (version === undefined) throw new Error('this tree is not built');
  const fleet = await Fleet.start(setting, version, 1, { CFW_RATE_LIMIT: '100', POLL_MAX_DELAY: '20s' });
  await setting.enqueue(jobIds(BUSY));
  await sleep(20_000);
  const [sidecar] = fleet.sidecars;
  const ask = async (query: string): Promise<number> => {
    const begunAt = performance.now();
    const response = await fetch(`${sidecar?.url}/v1/jobs?${query}`);
    if (!response.ok) throw new Error(`${query}: ${await response.text()}`);
    await response.json();
    return performance.now() - begunAt;
  };
  const firstMs = await ask('');
  const rows: Row[] = [];
  for (const query of QUERIES) {
    const took: number[] = [];
    for (let n = 0; n < REQUESTS; n += 1) {
      took.push(await ask(query));
      await sleep(PAUSE_MS);
    }
    rows.push({
      query,
      'p50, ms': quantile(took, 0.5),
      'p99, ms': quantile(took, 0.99),
      'worst, ms': Math.max(...took),
    });
    report(rows);
  }
  await fleet.end();
  const first = `the very first request, which loads the routes, took ${Math.round(firstMs)} ms`;
  return {
    rows,
    conclusions: [`${PARKED} jobs parked, ${ENTRIES} entries on the stream, ${BUSY} jobs polled; ${first}`],
  };
}

/** Jobs that were polled once and are due in hours, as a sidecar parks them. */
async function park({ redis, queue }: Setting): Promise<void> {
  const now = Date.now();
  const progress = {
    enqueuedAt: now,
    polls: 1,
    errorCounts: {},
    lastError: null,
    cfwStatus: 'Running',
    beginTime: null,
  };
  const since = { endTime: null, lastPollAt: now, notFoundSince: null, deniedSince: null, rejectedSince: null };
  for (let from = 0; from < PARKED; from += CHUNK) {
    const pipeline = redis.pipeline();
    for (let n = from; n < from + CHUNK; n += 1) {
      const dueAt = now + 36_000_000 + n;
      const id = `${PROJECT}.parked-${n}`;
      pipeline.hset(queue.toKey(id), {
        ...{ name: 'poll', data: JSON.stringify({ jobId: `parked-${n}` }), opts: '{}', timestamp: now, delay: 0 },
        ...{ priority: 0, ats: 1, processedOn: now },
        progress: JSON.stringify({ ...progress, ...since, dueAt, unknownStatusSince: null, runningAt: now }),
      });
      pipeline.zadd(queue.toKey('delayed'), dueAt * SCORE_UNIT, id);
    }
    await pipeline.exec();
  }
}

/** Publishes jobs that have ended; every tenth failed. */
async function end({ redis }: Setting): Promise<void> {
  const [now, stream, endpoint] = [Date.now(), '{cfw}:events', 'https://cfw.example.com'];
  const publisher = new EventPublisher({ redis, stream, maxLength: 0, dedupTtlMs: 86_400_000, endpoint });
  const one = async (n: number) => {
    const job = {
      projectId: PROJECT,
      jobId: `ended-${n}`,
      watchId: null,
      metadata: { orderId: `${n}` },
      traceparent: null,
    };
    const times = { enqueuedAt: now - 180_000, endedAt: now };
    await publisher.publish({
      ...{ job, ...times, history: NEW_HISTORY },
      verdict: n % 10 === 0 ? timedOut(NEW_HISTORY, 180_000) : { kind: 'completed' },
    });
  };
  for (let from = 0; from < ENTRIES; from += CHUNK) {
    await Promise.all(Array.from({ length: CHUNK }, (_, n) => one(from + n)));
  }
}
