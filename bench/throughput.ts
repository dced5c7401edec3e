import { setTimeout as sleep } from 'node:timers/promises';
import { jobIds, sum } from './fleet-part.js';
import { median } from './numbers.js';
import type { BenchOptions } from './options.js';
import type { Child } from './processes.js';
import type { Setting } from './setting.js';
import { Fleet } from './sidecars.js';
import type { Usage } from './usage.js';
import { type Version, versions } from './versions.js';

const JOBS = 10_000;
const ROUNDS = 3;
const GOT = 'a: got in a loop, no queue';
const OWN_GOT = 'got in a loop, set up as ours';
const EMPTY = "b: BullMQ's empty job";
const NAIVE = 'c: naive, every job held in p-retry';
const OURS = 'cfw-job-poller';
const WARM_UP_MS = 6_000;
const MEASURE_MS = 8_000;

/** Without a limit, and with the default one. */
const LIMITS = [0, 100];
/** Each job is due each second. */
const EVERY_SECOND = { POLL_INITIAL_DELAY: '1s', POLL_BACKOFF_FACTOR: '1', POLL_MAX_DELAY: '1s' };

interface Measured {
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly rssMb: number;
  /** Processor time of Redis, where it is known. */
  readonly redisUs?: number;
}

/**
 * What a poll costs, where the process has as much to do as it can: 10,000 jobs that are all due each second. Beside it what
 * its parts cost alone, what the simplest worker costs, and what the command costs in each version, with a limit and without.
 */
export async function throughput(setting: Setting, options: BenchOptions) {
  const parts = ways(setting, options);
  const results: Record<string, Measured[]> = {};
  for (let round = 0; round < (options.rounds ?? ROUNDS); round += 1) {
    for (const [way, run] of Object.entries(parts)) {
      results[way] = [...(results[way] ?? []), await run()];
      await setting.reset();
    }
  }
  const of = (way: string, figure: keyof Measured) =>
    median((results[way] ?? []).map((measured) => measured[figure] ?? Number.NaN));
  const over = (got: string) => (of(OURS, 'cpuUs') / (of(got, 'cpuUs') + of(EMPTY, 'cpuUs'))).toFixed(2);
  return {
    rows: Object.keys(parts).map((way) => ({
      way,
      'a second': of(way, 'perSecond'),
      'CPU each, µs': of(way, 'cpuUs'),
      'Redis each, µs': Number.isNaN(of(way, 'redisUs')) ? '' : of(way, 'redisUs'),
      'RSS, MB': of(way, 'rssMb'),
    })),
    conclusions:
      results[OURS] === undefined
        ? []
        : [
            `CPU of a poll over a + b: ${over(GOT)} (at most 1.5); with got set up as ours: ${over(OWN_GOT)}`,
            `CPU of a poll over c: ${(of(OURS, 'cpuUs') / of(NAIVE, 'cpuUs')).toFixed(2)}`,
          ],
  };
}

/** What is measured in turn, by name. */
function ways(setting: Setting, options: BenchOptions): Record<string, () => Promise<Measured>> {
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

  const parts: Record<string, () => Promise<Measured>> = {
    [GOT]: () => gotAlone({}),
    [OWN_GOT]: () => gotAlone({ OURS: '1' }),
    [EMPTY]: async () => {
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
    [NAIVE]: async () => {
      await setting.enqueue(await setting.makeJobs(JOBS));
      const child = await setting.child('naive-process', { CONCURRENCY: `${JOBS}`, DELAY_MS: '1000' });
      await sleep(WARM_UP_MS);
      return await measure(child, polls);
    },
    [OURS]: async () => {
      await setting.enqueue(await setting.makeJobs(JOBS));
      const child = await setting.sidecar(EVERY_SECOND);
      await sleep(WARM_UP_MS);
      return await measure(child, polls);
    },
  };
  if (options.parts?.includes('command') === true) for (const name of Object.keys(parts)) delete parts[name];
  const builds = versions(options.base);
  for (const limit of options.limits ?? LIMITS) {
    for (const version of builds) {
      const name = `${version.name}, ${limit === 0 ? 'no limit' : `${limit}/s`}`;
      parts[name] = () => command(setting, version, limit);
    }
  }
  return parts;
}

/** The command as a process, with the cheapest cloud. */
async function command(setting: Setting, version: Version, limit: number): Promise<Measured> {
  const fleet = await Fleet.start(setting, version, 1, { ...EVERY_SECOND, CFW_RATE_LIMIT: `${limit}` });
  await setting.enqueue(jobIds(limit === 0 ? JOBS : JOBS / 10));
  await sleep(WARM_UP_MS);
  const { redis, cpuMs, log, seconds } = await fleet.measure(MEASURE_MS);
  const calls = log.times.length;
  const rssMb = fleet.sidecars[0]?.rssMb ?? Number.NaN;
  await fleet.end();
  return {
    perSecond: calls / seconds,
    cpuUs: (sum(cpuMs) / calls) * 1_000,
    rssMb,
    redisUs: (redis.cpuMs / calls) * 1_000,
  };
}
