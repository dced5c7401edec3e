import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { type PrivateRedis, startPrivateRedis } from '../src/demo/private-redis.js';
import type { JobScript } from '../src/simulator/index.js';
import { Child } from './processes.js';

export const PROJECT = 'bench';
/** Longer than any bench. */
export const ENDLESS_MS = 86_400_000;

/** What each bench runs in: a Redis of its own and the simulated cloud, each a process of its own. */
export class Setting {
  readonly redis: Redis;
  readonly queue: Queue;
  readonly #server: PrivateRedis;
  readonly #cloud: Child;
  readonly #cloudUrl: string;
  readonly #children: Child[] = [];

  private constructor(server: PrivateRedis, cloud: Child, cloudUrl: string) {
    this.#server = server;
    this.#cloud = cloud;
    this.#cloudUrl = cloudUrl;
    this.redis = new Redis(server.url, { maxRetriesPerRequest: null });
    this.queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: this.redis });
  }

  static async start(): Promise<Setting> {
    const server = await startPrivateRedis();
    const cloud = await Child.start('cloud-process');
    return new Setting(server, cloud, await cloud.ask('url'));
  }

  /** What processes need to find Redis and the cloud. */
  get environment(): Record<string, string> {
    return {
      REDIS_URL: this.#server.url,
      CFW_ENDPOINT: this.#cloudUrl,
      CFW_AUTH_TOKEN: 'simulator-token',
      CFW_PROJECT_ID: PROJECT,
      CFW_RATE_LIMIT: '0',
      HTTP_PORT: '0',
      LOG_LEVEL: 'silent',
      // As the image has it.
      NODE_OPTIONS: '--max-semi-space-size=16',
    };
  }

  async child(module: string, env: Record<string, string> = {}): Promise<Child> {
    const child = await Child.start(module, { ...this.environment, ...env });
    this.#children.push(child);
    return child;
  }

  sidecar(env: Record<string, string> = {}): Promise<Child> {
    return this.child('sidecar-process', env);
  }

  /** Makes jobs at the cloud; they last for the whole bench unless told. */
  async makeJobs(count: number, script: (n: number) => Partial<JobScript> = () => ({ durationMs: ENDLESS_MS })) {
    const scripts = Array.from({ length: count }, (_, n) => ({
      projectId: PROJECT,
      outcome: 'Success' as const,
      ...script(n),
    }));
    return await this.#cloud.ask<string[]>('jobs', scripts);
  }

  /** Enqueues jobs as a raw producer does that names its entries after the jobs. */
  async enqueue(jobIds: readonly string[], queue = this.queue): Promise<void> {
    const opts = (jobId: string) => ({ name: 'poll', data: { jobId }, opts: { jobId: `${PROJECT}.${jobId}` } });
    for (let from = 0; from < jobIds.length; from += 1_000) {
      await queue.addBulk(jobIds.slice(from, from + 1_000).map(opts));
    }
  }

  /** Another queue on the same Redis. */
  queueNamed(name: string): Queue {
    return new Queue(name, { prefix: '{cfw}', connection: this.redis });
  }

  calls(): Promise<number> {
    return this.#cloud.ask('calls');
  }

  /** Of the jobs that were made last, unless others are named. */
  callTimes(jobIds?: readonly string[]): Promise<{ jobId: string; callTimes: number[]; endsAt: number }[]> {
    return this.#cloud.ask('callTimes', jobIds);
  }

  get redisPid(): number {
    return this.#server.process.pid as number;
  }

  async redisBytes(): Promise<number> {
    return Number(/used_memory:(\d+)/.exec(await this.redis.info('memory'))?.[1]);
  }

  /** Ends the workers and empties Redis, for the next round. */
  async reset(): Promise<void> {
    await Promise.all(this.#children.splice(0).map((child) => child.end()));
    await this.redis.flushall();
  }

  async stop(): Promise<void> {
    await this.reset();
    await this.queue.close();
    this.redis.disconnect();
    await this.#cloud.end();
    await this.#server.stop();
  }
}
