import { z } from 'zod';
import type { History } from '../polling/index.js';

const epoch = z.number().nullable();
const progressSchema = z.object({
  enqueuedAt: z.number(),
  polls: z.int().min(0),
  errorCounts: z.record(z.string(), z.int()),
  lastError: z.object({ code: z.string(), httpStatus: z.int().nullable(), message: z.string() }).nullable(),
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

/** What BullMQ keeps as the progress of a job that is not worked on just now: its history, and when it was enqueued. */
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
