import type { Queue } from 'bullmq';
import type { RedisClient } from '../redis/index.js';
import type { Duty } from './housekeeper.js';
import { STALLED_EVERY_MS } from './locks.js';
import type { QueueStore } from './store.js';

/** Failed jobs are looked for this often, in milliseconds. */
const FAILED_EVERY_MS = 10_000;

/** What JSON.parse takes of it, BullMQ takes. */
const isJson = (text: string | null | undefined) => {
  try {
    return text == null || text === '' || JSON.parse(text) !== undefined;
  } catch {
    return false;
  }
};

/**
 * Repairs what BullMQ itself keeps of a job and can no longer read, since a producer or a person wrote something else there.
 * BullMQ throws after it has made such a job active, so the job would come back for ever. Its data is not touched: invalid
 * data is reported by an event.
 *
 * @param jobKey the Redis key of the job.
 */
export async function repairJob(redis: RedisClient, jobKey: string): Promise<void> {
  const [opts, progress, parent] = await redis.hmget(jobKey, 'opts', 'progress', 'parent');
  if (!isJson(opts)) await redis.hset(jobKey, 'opts', '{}');
  if (!isJson(progress)) await redis.hset(jobKey, 'progress', '0');
  if (!isJson(parent)) await redis.hdel(jobKey, 'parent', 'parentKey');
}

/**
 * Puts jobs that BullMQ calls failed back into the queue. Ours never fail there, however they ended at CFW; a failed one was
 * failed by a flow, by another version or by a person, and may have no event. The worker that takes it finds out: a job that
 * was published before is not published again.
 */
export async function repairFailed(queue: Queue, redis: RedisClient): Promise<void> {
  const { failed } = queue.keys;
  // Each one leaves the set, so the next ones are in front; one that cannot leave must not keep us here.
  for (const id of await redis.zrange(failed as string, '0', '999')) {
    await repairJob(redis, queue.toKey(id));
    // BullMQ fails a job that has this without asking a worker.
    await redis.hdel(queue.toKey(id), 'defa');
    const job = await queue.getJob(id);
    // Another process may have put it back at the same time.
    await job?.retry('failed').catch(() => {});
    if (job === undefined) await redis.zrem(failed as string, id);
  }
}

/** What the housekeeper does so that no job stays where no worker takes it. */
export function repairDuties(queue: Queue, redis: RedisClient, store: () => QueueStore): Duty[] {
  return [
    {
      name: 'stalled',
      everyMs: STALLED_EVERY_MS,
      onlyWhenBusy: true,
      run: async () => {
        for (const id of await store().putStalledBack()) await repairJob(redis, queue.toKey(id));
      },
    },
    { name: 'failed', everyMs: FAILED_EVERY_MS, run: () => repairFailed(queue, redis) },
  ];
}
