import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { History } from '../polling/index.js';
import type { RedisClient } from '../redis/index.js';

const epoch = z.number().nullable();
const progressSchema = z.object({
  enqueuedAt: z.number(),
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
  dueAt: z.number().optional(),
});

/** What BullMQ keeps as the progress of a job that waits for its next poll: its history, and when it was enqueued. */
export interface Progress extends History {
  readonly enqueuedAt: number;
  /** When its next step is due, in epoch milliseconds. */
  readonly dueAt?: number | undefined;
}

/**
 * Reads a job's progress. It was written by us, but others can reach it: what does not fit counts as never polled.
 */
export function parseProgress(progress: unknown): Progress | undefined {
  return progressSchema.safeParse(progress).data;
}

const NOTE_PROGRESS = readFileSync(new URL('./note-progress.lua', import.meta.url), 'utf8');

/** ioredis adds a script as a method, which its types cannot know. */
interface WithNoteProgress {
  cfwNoteProgress(lock: string, job: string, token: string, progress: string): Promise<null>;
}

/** Writes the progress of held jobs down; a job that is parked takes its progress along. */
export class ProgressNotes {
  readonly #redis: WithNoteProgress;
  readonly #key: (name: string) => string;

  /** @param key names a key of the BullMQ queue. */
  constructor(redis: RedisClient, key: (name: string) => string) {
    redis.defineCommand('cfwNoteProgress', { numberOfKeys: 2, lua: NOTE_PROGRESS });
    this.#redis = redis as unknown as WithNoteProgress;
    this.#key = key;
  }

  /** Does nothing where the lock was lost: another worker may know more of the job by then. */
  async write(jobId: string, token: string, progress: Progress): Promise<void> {
    const jobKey = this.#key(jobId);
    await this.#redis.cfwNoteProgress(`${jobKey}:lock`, jobKey, token, JSON.stringify(progress));
  }
}
