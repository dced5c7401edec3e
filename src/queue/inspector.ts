import { Queue } from 'bullmq';
import type { RedisClient } from '../redis/index.js';

/** The states of BullMQ. `delayed` is what is parked until its next poll; ended jobs are kept for a while. */
export const JOB_STATES = ['waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed'] as const;

/** What the queue looks like just now, over all processes that work on it. */
export interface QueueState {
  /** Jobs in each state. */
  readonly jobs: Readonly<Record<(typeof JOB_STATES)[number], number>>;
  /** How much longer the cool-down lasts that CFW has asked for, in milliseconds; 0 if there is none. */
  readonly holdBackMs: number;
}

/** Windows of an older version's limiter are at most this long, in milliseconds; beyond that it is a cool-down. */
const WINDOW_MS = 1_000;

/** Looks at the queue from outside, by a few commands that take the same time however many jobs there are. */
export class QueueInspector {
  readonly #queue: Queue;

  constructor({ redis, queueName, queuePrefix }: { redis: RedisClient; queueName: string; queuePrefix: string }) {
    this.#queue = new Queue(queueName, { connection: redis, prefix: queuePrefix });
    // Reported by the connection itself, and by each call.
    this.#queue.on('error', () => {});
  }

  async read(): Promise<QueueState> {
    const [jobs, limiterMs] = await Promise.all([
      this.#queue.getJobCounts(...JOB_STATES) as Promise<QueueState['jobs']>,
      this.#queue.getRateLimitTtl(),
    ]);
    return { jobs, holdBackMs: limiterMs > WINDOW_MS ? limiterMs : 0 };
  }

  /** Lets go of the queue; the Redis connection stays open. */
  async close(): Promise<void> {
    await this.#queue.close();
  }
}
