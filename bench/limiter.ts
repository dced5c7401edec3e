import { setTimeout as sleep } from 'node:timers/promises';
import { worstSecond } from './numbers.js';
import type { Setting } from './setting.js';

const PROCESSES = 3;
const RATE = 100;
const JOBS = 2_000;
const MEASURE_MS = 20_000;

/** Three processes on one queue, with far more to do than the limit allows. */
export async function limiter(setting: Setting) {
  const children = await Promise.all(
    Array.from({ length: PROCESSES }, () => setting.sidecar({ CFW_RATE_LIMIT: `${RATE}`, LOG_LEVEL: 'debug' })),
  );
  await setting.enqueue(await setting.makeJobs(JOBS));
  await sleep(3_000);
  const from = Date.now();
  const before = await Promise.all(children.map((child) => child.ask<number>('polls')));
  await sleep(MEASURE_MS);
  const after = await Promise.all(children.map((child) => child.ask<number>('polls')));
  const to = Date.now();
  const jobs = await setting.callTimes();
  const times = jobs.flatMap(({ callTimes }) => callTimes).filter((at) => at >= from && at < to);
  const perJob = jobs.map(({ callTimes }) => callTimes.length);
  return {
    rows: [
      {
        limit: `${RATE}/s, ${PROCESSES} processes`,
        'calls/s': (times.length / (to - from)) * 1_000,
        'worst second': worstSecond(times),
        'share of each process, %': after
          .map((polls, n) => Math.round(((polls - (before[n] ?? 0)) / times.length) * 100))
          .join(' '),
        'polls of a job': `${Math.min(...perJob)} to ${Math.max(...perJob)}`,
      },
    ],
    conclusions: [],
  };
}
