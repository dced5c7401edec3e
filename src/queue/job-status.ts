import type { CfwJobEvent } from '../events/index.js';
import { NEW_HISTORY } from '../polling/index.js';
import type { RedisClient } from '../redis/index.js';
import { type InvalidJob, type PollJob, parseJobData } from './job.js';
import { parseProgress } from './progress.js';
import { enqueueTime } from './queued.js';

/** How a job stands, in the words of the contract. */
export const CFW_JOB_STATES = ['queued', 'polling', 'completed', 'failed'] as const;
export type CfwJobState = (typeof CFW_JOB_STATES)[number];

/** Where a job stands. */
export interface CfwJobStatus {
  readonly projectId: string;
  readonly jobId: string;
  readonly watchId: string | null;
  /** `queued`: not yet polled. `polling`: polled, and not ended. `completed`, `failed`: its event is published. */
  readonly state: CfwJobState;
  /** RFC 3339; null if it is not known any more. */
  readonly enqueuedAt: string | null;
  /** Calls made for it, as of the last time its worker wrote that down. */
  readonly polls: number | null;
  /** When the last call was made; RFC 3339, null before the first one and after the end. */
  readonly lastPollAt: string | null;
  /** When the next call is due; RFC 3339, null after the end. */
  readonly nextPollAt: string | null;
  /** The last status CFW gave. */
  readonly cfwStatus: string | null;
  /** The last failed call. */
  readonly lastError: {
    readonly code: string;
    readonly httpStatus?: number | null | undefined;
    readonly message: string;
    readonly requestId?: string | null | undefined;
  } | null;
  /** The event; null before the end, and if the stream has been trimmed since. */
  readonly event: CfwJobEvent | null;
}

/** A job of a list: its ids are null if the data of its queue job names none that can be read. */
export type CfwListedJob = Omit<CfwJobStatus, 'projectId' | 'jobId'> & {
  readonly projectId: string | null;
  readonly jobId: string | null;
};

/** A job that has not ended, as it stands in the queue. */
export interface QueuedStatus {
  readonly job: PollJob | InvalidJob;
  readonly status: CfwListedJob;
  readonly errorCounts: Readonly<Record<string, number>>;
  readonly beginTime: string | null;
  readonly endTime: string | null;
}

/** Where an ended job stands. */
export function endedStatus(event: CfwJobEvent): CfwListedJob {
  const { projectId, jobId, watchId, status, enqueuedAt, polls, cfwStatus, lastError } = event.data;
  return {
    ...{ projectId, jobId, watchId, state: status, enqueuedAt, polls, lastPollAt: null, nextPollAt: null },
    ...{ cfwStatus, lastError, event },
  };
}

/**
 * Reads where jobs stand that have not ended, in one round trip.
 *
 * @param key names a key of the BullMQ queue.
 * @param projectId the project of jobs that name none.
 * @returns for each id, in order, its job; undefined if it is not in the queue or has ended there.
 */
export async function readStatuses(
  redis: RedisClient,
  key: (name: string) => string,
  ids: readonly string[],
  projectId: string | undefined,
): Promise<(QueuedStatus | undefined)[]> {
  if (ids.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const id of ids) {
    pipeline.hmget(key(id), 'data', 'timestamp', 'opts', 'progress', 'finishedOn', 'processedOn');
  }
  const answers = (await pipeline.exec()) ?? [];
  return answers.map(([error, fields]) => {
    if (error !== null) throw error;
    return queuedStatus(fields as (string | null)[], projectId);
  });
}

function queuedStatus(fields: readonly (string | null)[], projectId: string | undefined): QueuedStatus | undefined {
  const [data = null, timestamp, opts = null, progressText = null, finishedOn, processedOn] = fields;
  if (data === null || finishedOn != null) return undefined;
  const job = parseJobData(parsed(data), projectId);
  const progress = parseProgress(parsed(progressText));
  const { delay } = Object(parsed(opts)) as { delay?: unknown };
  const enqueuedAt = progress?.enqueuedAt ?? enqueueTime(Number(timestamp), Date.now());
  const dueAt = progress?.dueAt ?? enqueuedAt + (typeof delay === 'number' ? delay : 0);
  const { lastPollAt, polls, cfwStatus, lastError, errorCounts, beginTime, endTime } = progress?.history ?? NEW_HISTORY;
  return {
    job,
    status: {
      projectId: job.projectId,
      jobId: job.jobId,
      watchId: job.watchId,
      // Taken for the first time, its first call may still be under way.
      state: processedOn == null ? 'queued' : 'polling',
      enqueuedAt: new Date(enqueuedAt).toISOString(),
      polls,
      lastPollAt: lastPollAt === null ? null : new Date(lastPollAt).toISOString(),
      nextPollAt: new Date(dueAt).toISOString(),
      cfwStatus,
      lastError,
      event: null,
    },
    ...{ errorCounts, beginTime, endTime },
  };
}

function parsed(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
