import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { MIN_WATCHED } from '../src/schedule/index.js';
import { repeatable } from '../src/simulator/index.js';
import { DISTRIBUTIONS, type Distribution } from './distributions.js';
import { mean, quantile } from './numbers.js';
import { optimumWith } from './optimum.js';
import type { Child } from './processes.js';
import type { Setting } from './setting.js';

/** Everything happens so many times faster than in the cloud: 3 minutes become 9 seconds. */
const SCALE = 20;
const JOBS = 200;
const LEARNED_JOBS = 500;
/** The one that firewalls are thought to follow. */
const SIGMA_035 = DISTRIBUTIONS[1];
/** The schedule is made anew this often. */
const READ_EVERY_MS = 10_000 / SCALE;

/** A schedule by its settings in the cloud's time. */
interface Way {
  readonly name: string;
  readonly initial: number;
  readonly factor: number;
  readonly max: number;
  /** Where it learns: what a poll is worth. */
  readonly price?: number;
}

/** Those of a pair are watched at the same time, as all four together would be more than this machine can do. */
const PAIRS: readonly (readonly Way[])[] = [
  [
    { name: 'Terraform: every 10 s', initial: 10_000, factor: 1, max: 10_000 },
    { name: 'exponential 1 s × 1.5, at most 10 s', initial: 1_000, factor: 1.5, max: 10_000 },
  ],
  [
    { name: 'Open Telekom Cloud: every 5 s', initial: 5_000, factor: 1, max: 5_000 },
    { name: 'exponential 1 s × 2, at most 60 s', initial: 1_000, factor: 2, max: 60_000 },
  ],
];
const LEARNED: Way = {
  name: `learned from ${LEARNED_JOBS} jobs`,
  initial: 1_000,
  factor: 1.5,
  max: 10_000,
  price: 500,
};
/** For whoever has a use for polls: half of Terraform's. */
const DEARER: Way = { ...LEARNED, name: `${LEARNED.name}, POLL_PRICE=800ms`, price: 800 };

/** How long after its end at the cloud a job's event is on the stream, and what that costs in polls. */
export async function noticing(setting: Setting) {
  const rows = [];
  for (const distribution of DISTRIBUTIONS) {
    const row = ({ name }: Way, { polls, late }: Noticed, optimumMs?: number) => ({
      distribution: distribution.name,
      schedule: name,
      'polls of a job': polls,
      'noticed after, s (mean)': mean(late) / 1_000,
      '(p99)': quantile(late, 0.99) / 1_000,
      'optimum with as many polls, s': optimumMs === undefined ? '' : (optimumMs / 1_000).toFixed(1),
      'times the optimum': optimumMs === undefined ? '' : (mean(late) / optimumMs).toFixed(2),
    });
    const others = async () => {
      const noticed: ReturnType<typeof row>[] = [];
      for (const pair of PAIRS) {
        const lanes = await Promise.all(pair.map(async (way) => ({ way, lane: await Lane.start(setting, way) })));
        const follow = async ({ way, lane }: { way: Way; lane: Lane }) =>
          row(way, await lane.follow(drawn(distribution, JOBS, 1)));
        noticed.push(...(await Promise.all(lanes.map(follow))));
        await Promise.all(lanes.map(({ lane }) => lane.end()));
      }
      return noticed;
    };
    // Jobs to learn from come one after another, over the time that they have to be watched for.
    const p90 = quantile(drawn(distribution, 10_000, 3), 0.9);
    const learnt = async (way: Way) => {
      const lane = await Lane.start(setting, way);
      await lane.follow(drawn(distribution, LEARNED_JOBS, 2), (MIN_WATCHED * p90) / SCALE);
      await sleep(READ_EVERY_MS + 1_000);
      return lane;
    };
    const measured = async (way: Way, lane: Lane) => {
      const noticed = await lane.follow(drawn(distribution, JOBS, 1));
      await lane.end();
      return row(way, noticed, optimumWith(distribution, noticed.polls).expectedDelayMs);
    };
    const [rowsOfOthers, lane] = await Promise.all([others(), learnt(LEARNED)]);
    rows.push(...rowsOfOthers, await measured(LEARNED, lane));
    if (distribution === SIGMA_035) rows.push(await measured(DEARER, await learnt(DEARER)));
    await setting.reset();
  }
  return { rows, conclusions: [`time runs ${SCALE} times faster; figures are in the cloud's time`] };
}

function drawn({ draw }: Distribution, count: number, seed: number): number[] {
  const random = repeatable(seed);
  return Array.from({ length: count }, () => draw(random));
}

/** Polls of a job, and how late each was noticed, in the cloud's time. */
interface Noticed {
  readonly polls: number;
  readonly late: readonly number[];
}

/** A sidecar with a queue and a stream of its own. */
class Lane {
  readonly #setting: Setting;
  readonly #sidecar: Child;
  readonly #queue: Queue;
  readonly #stream: string;

  private constructor(setting: Setting, sidecar: Child, name: string, stream: string) {
    this.#setting = setting;
    this.#sidecar = sidecar;
    this.#queue = new Queue(name, { prefix: '{cfw}', connection: setting.redis });
    this.#stream = stream;
  }

  static async start(setting: Setting, way: Way): Promise<Lane> {
    const name = randomUUID();
    const stream = `{cfw}:${name}`;
    const sidecar = await setting.sidecar({
      QUEUE_NAME: name,
      EVENT_STREAM: stream,
      POLL_INITIAL_DELAY: `${way.initial / SCALE}`,
      POLL_BACKOFF_FACTOR: `${way.factor}`,
      POLL_MAX_DELAY: `${way.max / SCALE}`,
      POLL_SCHEDULE: way.price === undefined ? 'exponential' : 'learned',
      ...(way.price === undefined ? {} : { POLL_PRICE: `${way.price / SCALE}` }),
      TIME_SCALE: `${SCALE}`,
    });
    return new Lane(setting, sidecar, name, stream);
  }

  /**
   * Watches jobs to their ends.
   *
   * @param durationsMs in the cloud's time.
   * @param overMs jobs begin one after another over this time; all at once where it is 0.
   */
  async follow(durationsMs: readonly number[], overMs = 0): Promise<Noticed> {
    const { redis } = this.#setting;
    const parts = overMs === 0 ? 1 : 100;
    const size = Math.ceil(durationsMs.length / parts);
    const jobIds: string[] = [];
    for (let from = 0; from < durationsMs.length; from += size) {
      const part = durationsMs.slice(from, from + size);
      const script = (n: number) => ({ durationMs: (part[n] as number) / SCALE, timeFormat: 'epoch' as const });
      const made = await this.#setting.makeJobs(part.length, script);
      jobIds.push(...made);
      await this.#setting.enqueue(made, this.#queue);
      await sleep(overMs / parts);
    }
    const publishedAt = new Map<string, number>();
    while (!jobIds.every((jobId) => publishedAt.has(jobId))) {
      await sleep(1_000);
      for (const [, fields] of await redis.xrange(this.#stream, '-', '+')) {
        const field = (name: string) => fields[fields.indexOf(name) + 1] as string;
        publishedAt.set(field('subject'), Date.parse(field('time')));
      }
    }
    const jobs = await this.#setting.callTimes(jobIds);
    return {
      polls: mean(jobs.map(({ callTimes }) => callTimes.length)),
      late: jobs.map(({ jobId, endsAt }) => ((publishedAt.get(jobId) as number) - endsAt) * SCALE),
    };
  }

  async end(): Promise<void> {
    await this.#sidecar.end();
    await this.#queue.close();
  }
}
