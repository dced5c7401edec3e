import { Queue } from 'bullmq';
import type { RedisClient } from '../redis/index.js';

/** The states of BullMQ. `delayed` is what is parked until its next poll; ended jobs are kept for a while. */
export const JOB_STATES = ['waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed'] as const;

/** What the queue looks like just now, over all processes that work on it. */
export interface QueueState {
  /** Jobs in each state. */
  readonly jobs: Readonly<Record<(typeof JOB_STATES)[number], number>>;
  /** How long all workers hold back from now on, in milliseconds, since CFW asked them to; 0 where they do not. */
  readonly holdBackMs: number;
}

/** The limiter's own windows are at most this long, in milliseconds; beyond that it is a hold-back. */
const WINDOW_MS = 1_000;

/** Looks at the queue from outside, by a few commands that take the same time however many jobs there are. */
export class QueueInspector {
  readonly #queue: Queue;

  constructor({ redis, queueName, queuePrefix }: { redis: RedisClient; queueName: string; queuePrefix: string }) {
    this.#queue = new Queue(queueName, { connection: redis, prefix: queuePrefix });
    // Told by the connection itself, and by each call.
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
