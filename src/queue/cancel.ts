import { readFileSync } from 'node:fs';
import { type CfwJobEvent, publishedKey, toEntry, type WatchedJob, watchKey } from '../events/index.js';
import type { RedisClient } from '../redis/index.js';
import { type QueuedStatus, readStatuses } from './job-status.js';

/** What became of a job: cancelled now, ended before, or not known. */
export type CancelResult = 'cancelled' | 'ended' | 'unknown';

/** The `source` of the event is not known: no sidecar was started on this queue yet. Nothing was cancelled. */
export class UnknownEndpointError extends Error {
  override readonly name = 'UnknownEndpointError';
  readonly code = 'UNKNOWN_ENDPOINT';
}

/** Where jobs are cancelled. */
export interface JobCancellerOptions {
  readonly redis: RedisClient;
  /** Names a key of the BullMQ queue. */
  readonly key: (name: string) => string;
  readonly eventStream: string;
  /** Project of jobs that name none. */
  readonly projectId: string | undefined;
  /** Base URL of CFW; undefined takes what sidecars have announced. */
  readonly endpoint: string | undefined;
}

/** How sidecars publish, for producers and commands that cancel without one. */
export interface Announcement {
  readonly endpoint: string;
  readonly maxLength: number;
  readonly dedupTtlMs: number;
}

/**
 * Reads the mark that a cancelled queue job has as its `failedReason` until a worker lets go of it.
 *
 * @returns the stream entry of its event; undefined if the job was not cancelled.
 */
export function cancelledBy(failedReason: string | undefined): string | undefined {
  return /^CANCELLED (\d+-\d+)$/.exec(failedReason ?? '')?.[1];
}

const CANCEL = readFileSync(new URL('./cancel.lua', import.meta.url), 'utf8');
/** Jobs of one round trip: neither we nor Redis are blocked for longer. */
const CHUNK = 1_000;

/** Derived from the stream, so that both share a Redis Cluster slot. */
const announcementKey = (stream: string) => `${stream}:publisher`;

/** Leaves in Redis what producers and commands need to publish the event of a cancelled job; the last one counts. */
export async function announceEndpoint(
  redis: RedisClient,
  stream: string,
  { endpoint, maxLength, dedupTtlMs }: Announcement,
): Promise<void> {
  await redis.hset(announcementKey(stream), { endpoint, maxLength, dedupTtlMs });
}

/** Cancels jobs. */
export class JobCanceller {
  readonly #options: JobCancellerOptions;

  constructor(options: JobCancellerOptions) {
    this.#options = options;
    options.redis.defineCommand('cfwCancel', { numberOfKeys: 4, lua: CANCEL });
  }

  /**
   * Cancels jobs that have not ended, each by one atomic step, so it has exactly one event whatever it races with. Safe to
   * call again after any failure.
   *
   * @returns what became of each job, in order.
   * @throws {UnknownEndpointError}
   */
  async cancel(jobs: readonly WatchedJob[]): Promise<CancelResult[]> {
    const results: CancelResult[] = [];
    for (let from = 0; from < jobs.length; from += CHUNK) {
      results.push(...(await this.#cancel(jobs.slice(from, from + CHUNK))));
    }
    return results;
  }

  async #cancel(jobs: readonly WatchedJob[]): Promise<CancelResult[]> {
    const { redis, key, eventStream, projectId, endpoint = '' } = this.#options;
    const queued = await readStatuses(redis, key, jobs.map(watchKey), projectId);
    const pipeline = redis.pipeline();
    for (const [n, job] of jobs.entries()) {
      const queueJobId = watchKey(job);
      const published = publishedKey(eventStream, queueJobId);
      const keys = [published, eventStream, key(queueJobId), announcementKey(eventStream)];
      const entry = toEntry(cancelEvent(job, queued[n]));
      // ioredis adds a script as a method, which its types cannot know.
      (pipeline as unknown as { cfwCancel(...args: string[]): void }).cfwCancel(
        ...keys,
        endpoint,
        `/v3/${job.projectId}`,
        ...entry,
      );
    }
    return ((await pipeline.exec()) ?? []).map(([error, answer]) => {
      if (error !== null) throw error;
      if (answer !== 'no endpoint') return answer as CancelResult;
      throw new UnknownEndpointError(
        'the endpoint of CFW is not known, which events have in their source: ' +
          'expected a sidecar that was started on this queue, or the endpoint as an option (CFW_ENDPOINT)',
      );
    });
  }
}

/** The event, still without the endpoint in its source. */
function cancelEvent({ projectId, jobId, watchId = null }: WatchedJob, queued: QueuedStatus | undefined): CfwJobEvent {
  const { status, job, errorCounts = {}, beginTime = null, endTime = null } = queued ?? {};
  const time = new Date().toISOString();
  return {
    specversion: '1.0',
    id: watchId === null ? jobId : `${jobId}.${watchId}`,
    source: '',
    type: 'cfw.job.failed',
    subject: jobId,
    time,
    datacontenttype: 'application/json',
    traceparent: job?.traceparent ?? undefined,
    data: {
      ...{ projectId, jobId, status: 'failed', cfwStatus: status?.cfwStatus ?? null, reason: 'CANCELLED' },
      ...{ message: 'the watch was cancelled; the job itself goes on', beginTime, endTime },
      ...{ enqueuedAt: status?.enqueuedAt ?? time, polls: status?.polls ?? 0, watchId },
      errorCounts: mostFrequent(errorCounts),
      lastError: (status?.lastError ?? null) as CfwJobEvent['data']['lastError'],
      metadata: job?.metadata ?? null,
    },
  };
}

/** Error codes that an event lists. */
const MAX_ERROR_COUNTS = 10;

function mostFrequent(counts: Readonly<Record<string, number>>): Record<string, number> {
  const sorted = Object.entries(counts).sort(([, a], [, b]) => b - a);
  return Object.fromEntries(sorted.slice(0, MAX_ERROR_COUNTS));
}
