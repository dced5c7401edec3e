import { setTimeout as sleep } from 'node:timers/promises';
import { median } from './numbers.js';
import type { Child } from './processes.js';
import type { Setting } from './setting.js';
import type { Usage } from './usage.js';

const JOBS = 10_000;
const ROUNDS = 3;
const WARM_UP_MS = 6_000;
const MEASURE_MS = 8_000;

interface Measured {
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly rssMb: number;
}

/**
 * What a poll costs, where the process has as much to do as it can: 10,000 jobs that are all due each second. Beside it what
 * its parts cost alone, and what the simplest worker costs.
 */
export async function throughput(setting: Setting) {
  const measure = async (child: Child, count: () => Promise<number>): Promise<Measured> => {
    await child.ask('usage');
    const before = await count();
    await sleep(MEASURE_MS);
    const { wallMs, cpuMs, rssMb } = await child.ask<Usage>('usage');
    const done = (await count()) - before;
    return { perSecond: (done / wallMs) * 1_000, cpuUs: (cpuMs / done) * 1_000, rssMb };
  };
  const polls = () => setting.calls();

  const gotAlone = async (env: Record<string, string>) => {
    const jobIds = await setting.makeJobs(JOBS);
    const child = await setting.child('bare-process', env);
    const loop = child.ask('loop', { jobIds, concurrency: 48, forMs: WARM_UP_MS / 2 + MEASURE_MS + 1_000 });
    await sleep(WARM_UP_MS / 2);
    const measured = await measure(child, polls);
    await loop;
    return measured;
  };

  const ways: Record<string, () => Promise<Measured>> = {
    'a: got in a loop, no queue': () => gotAlone({}),
    'got in a loop, set up as ours': () => gotAlone({ OURS: '1' }),
    "b: BullMQ's empty job": async () => {
      const child = await setting.child('naive-process', { EMPTY: '1', CONCURRENCY: '500' });
      const fill = async () => {
        const jobs = Array.from({ length: 2_000 }, () => ({ name: 'empty', data: {} }));
        while (!filled) {
          if ((await setting.queue.getWaitingCount()) < 20_000) await setting.queue.addBulk(jobs);
          else await sleep(20);
        }
      };
      let filled = false;
      const filling = fill();
      await sleep(WARM_UP_MS / 2);
      const measured = await measure(child, () => child.ask<number>('done'));
      filled = true;
      await filling;
      return measured;
    },
    'c: naive, every job held in p-retry': async () => {
      await setting.enqueue(await setting.makeJobs(JOBS));
      const child = await setting.child('naive-process', { CONCURRENCY: `${JOBS}`, DELAY_MS: '1000' });
      await sleep(WARM_UP_MS);
      return await measure(child, polls);
    },
    'cfw-job-poller': async () => {
      await setting.enqueue(await setting.makeJobs(JOBS));
      const child = await setting.sidecar({
        POLL_INITIAL_DELAY: '1s',
        POLL_BACKOFF_FACTOR: '1',
        POLL_MAX_DELAY: '1s',
      });
      await sleep(WARM_UP_MS);
      return await measure(child, polls);
    },
  };

  const results: Record<string, Measured[]> = {};
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [way, run] of Object.entries(ways)) {
      results[way] = [...(results[way] ?? []), await run()];
      await setting.reset();
    }
  }
  const of = (way: string, figure: keyof Measured) => median((results[way] ?? []).map((measured) => measured[figure]));
  const [a = '', ownGot = '', b = '', c = '', ours = ''] = Object.keys(ways);
  const over = (got: string) => (of(ours, 'cpuUs') / (of(got, 'cpuUs') + of(b, 'cpuUs'))).toFixed(2);
  return {
    rows: Object.keys(ways).map((way) => ({
      way,
      'a second': of(way, 'perSecond'),
      'CPU each, µs': of(way, 'cpuUs'),
      'RSS, MB': of(way, 'rssMb'),
    })),
    conclusions: [
      `CPU of a poll over a + b: ${over(a)} (at most 1.5); with got set up as ours: ${over(ownGot)}`,
      `CPU of a poll over c: ${(of(ours, 'cpuUs') / of(c, 'cpuUs')).toFixed(2)}`,
    ],
  };
}
