import type { RedisClient } from '../redis/index.js';

/** How many jobs the queue holds, over all processes. */
export interface QueueLoad {
  /** Jobs that have not ended. */
  readonly jobsInFlight: number;
  /** Those among them that are due, but no worker has taken yet. */
  readonly jobsWaiting: number;
}

/** Counts the jobs of a queue, in one round trip. */
export async function queueLoad(redis: RedisClient, queueName: string, queuePrefix: string): Promise<QueueLoad> {
  const key = (name: string) => `${queuePrefix}:${queueName}:${name}`;
  const counts = await Promise.all([
    redis.llen(key('wait')),
    redis.zcard(key('prioritized')),
    redis.llen(key('active')),
    redis.zcard(key('delayed')),
  ]);
  const [wait, prioritized, active, delayed] = counts;
  return { jobsInFlight: wait + prioritized + active + delayed, jobsWaiting: wait + prioritized };
}
