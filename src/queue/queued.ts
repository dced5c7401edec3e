import type { RedisClient } from '../redis/index.js';
import { NOT_JSON } from './job.js';
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
 * @returns for each id, in order, its job; undefined where it has ended or is gone.
 */
export async function readQueued(
  redis: RedisClient,
  key: (name: string) => string,
  ids: readonly string[],
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
    const enqueuedAt = enqueueTime(Number(timestamp));
    const progress = parseProgress(parseJson(progressText));
    const { delay } = Object(parseJson(opts)) as { delay?: unknown };
    return {
      queueJobId,
      data: parseJson(data),
      enqueuedAt: progress?.enqueuedAt ?? enqueuedAt,
      dueAt: progress?.dueAt ?? enqueuedAt + (typeof delay === 'number' ? delay : 0),
      progress,
      isTaken: locks > 0,
    };
  });
}

/** When a job was enqueued, by its BullMQ timestamp; one in the future, or none at all, counts as now. */
export function enqueueTime(timestamp: number): number {
  const now = Date.now();
  return timestamp > 0 && timestamp <= now ? timestamp : now;
}

function parseJson(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return NOT_JSON;
  }
}
