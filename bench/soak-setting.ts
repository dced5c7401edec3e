import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { CfwJobProducer } from '../src/queue/index.js';
import { logNormal, repeatable, type SimulatedJob, type Simulator, startSimulator } from '../src/simulator/index.js';
import { drawFault } from './chaos.js';
import { Link } from './link.js';
import type { SoakOptions } from './soak.js';
import { RedisPair } from './soak-redis.js';
import { SoakSidecar } from './soak-sidecar.js';

const PROJECT = 'soak';
const STREAM = '{cfw}:events';
const SIDECARS = 3;
const LAST_EVENT_MS = 300_000;
/** No fault lasts that long. */
const ENQUEUE_LIMIT_MS = 120_000;

type Faults = Record<string, (forMs: number) => unknown>;

/** Redis, the cloud, the links to both, sidecars, and what goes wrong with them. */
export class SoakSetting {
  readonly simulator: Simulator;
  readonly wrong: string[] = [];
  readonly faults: Record<string, number> = {};
  readonly #options: SoakOptions;
  readonly #redis: RedisPair;
  readonly #toRedis: Link;
  readonly #toCfw: Link;
  readonly #folder = mkdtempSync(join(tmpdir(), 'cfw-job-poller-soak-'));
  readonly #sidecars: SoakSidecar[] = [];
  #badWeather = 0;
  #enqueued = 0;

  private constructor(options: SoakOptions, redis: RedisPair, simulator: Simulator, toRedis: Link, toCfw: Link) {
    this.#options = options;
    this.#redis = redis;
    this.simulator = simulator;
    this.#toRedis = toRedis;
    this.#toCfw = toCfw;
  }

  static async start(options: SoakOptions): Promise<SoakSetting> {
    const random = repeatable(options.seed);
    const redis = await RedisPair.start();
    const simulator = await startSimulator({ random, drawFault: drawFault(random, () => setting.#badWeather) });
    const toCfw = await Link.open(Number(new URL(simulator.url).port));
    const setting = new SoakSetting(options, redis, simulator, await Link.open(redis.port), toCfw);
    setting.#writeSecrets();
    for (let n = 0; n < SIDECARS; n += 1) setting.#sidecars.push(setting.#startSidecar());
    return setting;
  }

  /** It is never killed, so what it holds on to would show. */
  get survivor(): SoakSidecar {
    return this.#sidecars[0] as SoakSidecar;
  }

  get #url(): string {
    return `redis://:${this.#redis.password}@127.0.0.1:${this.#toRedis.port}`;
  }

  #writeSecrets(): void {
    writeFileSync(join(this.#folder, 'redis-url'), `${this.#url}\n`);
    writeFileSync(join(this.#folder, 'token'), `${this.simulator.token}\n`);
  }

  #startSidecar(): SoakSidecar {
    return new SoakSidecar({
      PATH: process.env.PATH ?? '',
      REDIS_URL_FILE: join(this.#folder, 'redis-url'),
      CFW_AUTH_TOKEN_FILE: join(this.#folder, 'token'),
      CFW_ENDPOINT: `http://127.0.0.1:${this.#toCfw.port}`,
      CFW_PROJECT_ID: PROJECT,
      CFW_REQUEST_TIMEOUT: '2s',
      CFW_RATE_LIMIT: '400',
      POLL_INITIAL_DELAY: '500ms',
      POLL_MAX_DELAY: '5s',
      HTTP_PORT: '0',
      EVENT_STREAM_MAXLEN: '0',
    });
  }

  async ready(): Promise<void> {
    for (const until = Date.now() + 30_000; Date.now() < until; await sleep(100)) {
      const { url } = this.survivor;
      if (url !== undefined && (await fetch(`${url}/readyz`).catch(() => undefined))?.ok === true) return;
    }
    throw new Error(`no sidecar became ready: ${this.survivor.tail.join('\n')}`);
  }

  redisFaults(): Faults {
    return {
      'redis killed': (forMs) => this.#redis.restart(forMs / 3),
      'redis paused': (forMs) => this.#redis.pause(forMs),
      'redis out of memory': (forMs) => this.#redis.fill(forMs),
      failover: (forMs) => this.#redis.failover(this.#toRedis, forMs / 3),
    };
  }

  linkFaults(): Faults {
    const spoilt = (link: Link, name: string): Faults => ({
      [`${name} reset`]: () => link.reset(),
      [`${name} half-open`]: () => link.halfOpen(),
      [`${name} stalled`]: async (forMs) => {
        link.stall();
        await sleep(forMs);
        link.flow();
      },
    });
    return {
      ...spoilt(this.#toRedis, 'redis'),
      ...spoilt(this.#toCfw, 'cfw'),
      'cfw fails': async (forMs) => {
        this.#badWeather = 1 / 3;
        await sleep(2 * forMs);
        this.#badWeather = 0;
      },
    };
  }

  sidecarFaults(): Faults {
    const other = (forMs: number) => 1 + (Math.floor(forMs) % (SIDECARS - 1));
    return {
      'sidecar killed': async (forMs) => {
        const victim = other(forMs);
        await this.#sidecars[victim]?.kill();
        this.#sidecars[victim] = this.#startSidecar();
      },
      'sidecar stopped': async (forMs) => {
        const victim = other(forMs);
        const problem = await this.#sidecars[victim]?.stop();
        if (problem !== undefined) this.wrong.push(problem);
        this.#sidecars[victim] = this.#startSidecar();
      },
      'log stalled': (forMs) => this.survivor.stallLog(forMs),
      'secret files bad': async (forMs) => {
        writeFileSync(join(this.#folder, 'redis-url'), 'redis://:s3cr/et#@half-writ');
        writeFileSync(join(this.#folder, 'token'), '');
        await sleep(forMs);
        this.#writeSecrets();
      },
    };
  }

  /** One fault after the other, with a pause between them, until told to stop. */
  async storm(name: string, faults: Faults, seed: number, stop: AbortSignal): Promise<void> {
    const random = repeatable(this.#options.seed * 1_000 + seed);
    const pause = async (ms: number) => await sleep(ms, undefined, { signal: stop }).catch(() => {});
    const names = Object.keys(faults);
    for (await pause(3_000); !stop.aborted; await pause(2_000 + random() * 8_000)) {
      const fault = names[Math.floor(random() * names.length)] as string;
      this.faults[fault] = (this.faults[fault] ?? 0) + 1;
      try {
        await faults[fault]?.(500 + random() * 5_500);
      } catch (error) {
        this.#options.say(`${name}: ${fault} could not be done: ${(error as Error).message}`);
      }
    }
  }

  /** Makes jobs evenly over a time and enqueues each, again and again if Redis does not take it. */
  async enqueue(overMs: number): Promise<SimulatedJob[]> {
    const random = repeatable(this.#options.seed * 1_000);
    const redis = new Redis(this.#url, { maxRetriesPerRequest: null, retryStrategy: () => 200 });
    redis.on('error', () => {});
    const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: redis });
    queue.on('error', () => {});
    const producer = new CfwJobProducer({ redis, projectId: PROJECT });
    const jobs: SimulatedJob[] = [];
    const begunAt = Date.now();
    while (jobs.length < this.#options.jobs) {
      const due = Math.ceil(Math.min(1, (Date.now() - begunAt + 500) / overMs) * this.#options.jobs) - jobs.length;
      const batch = Array.from({ length: due }, () =>
        this.simulator.addJob({ projectId: PROJECT, durationMs: logNormal(5_000, 0.5, random) }),
      );
      // A tenth comes from a raw producer, with ids of its own, so that a second try makes twins.
      const raw = batch.filter((_, n) => n % 10 === 0).map((job) => ({ name: 'x', data: withIds(job) }));
      await insist(redis, () => Promise.all([queue.addBulk(raw), producer.enqueueMany(batch.map(withIds))]));
      jobs.push(...batch);
      this.#enqueued = jobs.length;
      await sleep(500);
    }
    redis.disconnect();
    await Promise.all([queue.close(), producer.close()]);
    return jobs;
  }

  async report(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await sleep(15_000, undefined, { signal: stop }).catch(() => {});
      const { files, rssMb } = this.survivor.isAlive ? this.survivor.usage() : { files: 0, rssMb: 0 };
      const events = await Promise.race([this.#redis.admin.xlen(STREAM).catch(() => '?'), sleep(1_000, '?')]);
      const faults = Object.values(this.faults).reduce((sum, count) => sum + count, 0);
      this.#options.say(
        `${events} events of ${this.#enqueued} jobs so far, ${faults} faults; ${files} files, ${Math.round(rssMb)} MB`,
      );
    }
  }

  /** All faults are over. */
  clear(): void {
    this.#badWeather = 0;
    this.#toRedis.flow();
    this.#toCfw.flow();
    this.#writeSecrets();
  }

  async ended(): Promise<void> {
    const { jobs } = this.#options;
    let events = 0;
    for (const until = Date.now() + LAST_EVENT_MS; Date.now() < until && events < jobs; await sleep(500)) {
      events = await this.#redis.admin.xlen(STREAM);
    }
  }

  /** Gives a second event for a job the time to show, and lets go of connections that are only kept. */
  async rest(): Promise<void> {
    await sleep(5_000);
    this.#toCfw.reset();
    await sleep(3_000);
  }

  async entries(): Promise<[string, string[]][]> {
    return await this.#redis.admin.xrange(STREAM, '-', '+');
  }

  async stop(): Promise<void> {
    await Promise.all(this.#sidecars.map((sidecar) => sidecar.kill()));
    await Promise.all([this.#toRedis.close(), this.#toCfw.close()]);
    await this.simulator.stop();
    await this.#redis.stop();
    rmSync(this.#folder, { recursive: true });
  }
}

const withIds = ({ projectId, jobId }: SimulatedJob) => ({ projectId, jobId });

/** As a careful service does it: what has not been acknowledged in time is tried again, on a new connection. */
async function insist(redis: Redis, attempt: () => Promise<unknown>): Promise<void> {
  for (const until = Date.now() + ENQUEUE_LIMIT_MS; Date.now() < until; ) {
    const isDone = await Promise.race([
      attempt().then(
        () => true,
        () => false,
      ),
      sleep(5_000, false),
    ]);
    if (isDone) return;
    redis.disconnect(true);
    await sleep(250);
  }
  throw new Error(`Redis has taken no jobs for ${ENQUEUE_LIMIT_MS} ms`);
}
