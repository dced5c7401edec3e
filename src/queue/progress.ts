import { readFileSync } from 'node:fs';
import * as z from 'zod';
import type { PollHistory } from '../polling/index.js';
import { defineScript, type RedisClient } from '../redis/index.js';
import { cancelledBy } from './cancel.js';

const epoch = z.number().nullable();
const progressSchema = z
  .object({
    enqueuedAt: z.number(),
    dueAt: z.number().optional(),
    polls: z.int().min(0),
    errorCounts: z.record(z.string(), z.int()),
    lastError: z
      .object({
        code: z.string(),
        httpStatus: z.int().nullable(),
        message: z.string(),
        // Older versions wrote none.
        requestId: z.string().nullable().default(null),
      })
      .nullable(),
    cfwStatus: z.string().nullable(),
    beginTime: z.string().nullable(),
    endTime: z.string().nullable(),
    lastPollAt: epoch,
    notFoundSince: epoch,
    deniedSince: epoch,
    rejectedSince: epoch,
    unknownStatusSince: epoch,
    // Jobs that were parked by an older version have none.
    runningAt: epoch.default(null),
  })
  .transform(({ enqueuedAt, dueAt, ...history }): Progress => ({ enqueuedAt, dueAt, history }));

/** What BullMQ keeps as the progress of a job that waits for its next poll. Times are of Redis's clock. */
export interface Progress {
  /** Epoch milliseconds. */
  readonly enqueuedAt: number;
  /** When its next step is due, in epoch milliseconds. */
  readonly dueAt: number | undefined;
  readonly history: PollHistory;
}

/** Reads a job's progress. Others can write it, too: a job whose progress is invalid counts as never polled. */
export function parseProgress(progress: unknown): Progress | undefined {
  return progressSchema.safeParse(progress).data;
}

/** The form in Redis is flat, as workers of older versions on the same queue read and write it. */
export function formatProgress({ enqueuedAt, dueAt, history }: Progress): string {
  return JSON.stringify({ ...history, enqueuedAt, dueAt });
}

/** Writes the progress of held jobs; a job that is parked takes its progress along. */
export class ProgressWriter {
  readonly #write: ReturnType<typeof defineScript<string>>;
  readonly #key: (name: string) => string;

  /** @param key names a key of the BullMQ queue. */
  constructor(redis: RedisClient, key: (name: string) => string) {
    const lua = readFileSync(new URL('./write-progress.lua', import.meta.url), 'utf8');
    this.#write = defineScript(redis, 'cfwWriteProgress', 2, lua);
    this.#key = key;
  }

  /**
   * Does nothing if the lock was lost: another worker may know more of the job by then.
   *
   * @returns the stream entry of the job's event, if its watch was cancelled.
   */
  async write(jobId: string, token: string, progress: Progress): Promise<string | undefined> {
    const jobKey = this.#key(jobId);
    return cancelledBy(await this.#write(`${jobKey}:lock`, jobKey, token, formatProgress(progress)));
  }
}
