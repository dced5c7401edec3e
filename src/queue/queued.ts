import type { RedisClient } from '../redis/index.js';
import { parseJson } from './job.js';
import { type Progress, parseProgress } from './progress.js';

/** A job as it lies in the queue, read past BullMQ: without taking it, and whatever its data is. */
export interface QueuedJob {
  readonly queueJobId: string;
  readonly data: unknown;
  readonly enqueuedAt: number;
  /** When it was or will be due, in epoch milliseconds. */
  readonly dueAt: number;
  readonly progress: Progress | undefined;
  /** A worker is on it just now. */
  readonly isTaken: boolean;
}

/**
 * Reads jobs that have not ended.
 *
 * @param key names a key of the BullMQ queue.
 * @param now epoch milliseconds by Redis's clock.
 * @returns for each id, in order, its job; undefined if it has ended or is gone.
 */
export async function readQueued(
  redis: RedisClient,
  key: (name: string) => string,
  ids: readonly string[],
  now: number,
): Promise<(QueuedJob | undefined)[]> {
  const pipeline = redis.pipeline();
  for (const id of ids) {
    pipeline.hmget(key(id), 'data', 'timestamp', 'opts', 'progress', 'finishedOn').exists(`${key(id)}:lock`);
  }
  const answers = (await pipeline.exec()) ?? [];
  return ids.map((queueJobId, index) => {
    const [error, fields] = answers[2 * index] as [Error | null, (string | null)[]];
    const [, locks] = answers[2 * index + 1] as [Error | null, number];
    if (error !== null) throw error;
    const [data = null, timestamp = null, opts = null, progressText = null, finishedOn = null] = fields;
    if (data === null || finishedOn !== null) return undefined;
    const progress = parseProgress(parseJson(progressText ?? 'null'));
    return {
      queueJobId,
      data: parseJson(data),
      enqueuedAt: progress?.enqueuedAt ?? enqueueTime(Number(timestamp), now),
      dueAt: dueTime(Number(timestamp), progress, parseJson(opts ?? 'null'), now),
      progress,
      isTaken: locks > 0,
    };
  });
}

/** When a job was enqueued, by its BullMQ timestamp; one in the future, or none at all, counts as now. */
export function enqueueTime(timestamp: number, now: number): number {
  return timestamp > 0 && timestamp <= now ? timestamp : now;
}

/** When a job was or will be due: by its progress, else by its enqueueing and the delay that its producer gave it. */
export function dueTime(timestamp: number, progress: Progress | undefined, opts: unknown, now: number): number {
  const { delay } = Object(opts) as { delay?: unknown };
  return progress?.dueAt ?? enqueueTime(timestamp, now) + (typeof delay === 'number' ? delay : 0);
}
