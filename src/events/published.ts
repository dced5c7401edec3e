import type { RedisClient } from '../redis/index.js';
import { type CfwJobEvent, fromEntry } from './event.js';

/** What names one watch of one CFW job: each has its one event. */
export interface WatchedJob {
  readonly projectId: string;
  readonly jobId: string;
  readonly watchId?: string | null | undefined;
}

/** `<projectId>.<jobId>`, with `.<watchId>` if there is one; the ids have no dots, so no two jobs share a key. */
export function watchKey({ projectId, jobId, watchId }: WatchedJob): string {
  return watchId == null ? `${projectId}.${jobId}` : `${projectId}.${jobId}.${watchId}`;
}

/** Where it is remembered that a job was published; derived from the stream, so that both share a Redis Cluster slot. */
export function publishedKey(stream: string, key: string): string {
  return `${stream}:published:${key}`;
}

/** How a job ended. */
export interface PublishedEvent {
  /** Id of the stream entry. */
  readonly entryId: string;
  readonly status: 'completed' | 'failed';
  /** null if the stream has been trimmed since. */
  readonly event: CfwJobEvent | null;
}

/**
 * How jobs ended, by one look-up each in what is remembered and one in the stream, all in one round trip for each.
 *
 * @returns for each job, in order, its event, or undefined if none was published within `EVENT_DEDUP_TTL`.
 */
export async function findPublished(
  redis: RedisClient,
  stream: string,
  jobs: readonly WatchedJob[],
): Promise<(PublishedEvent | undefined)[]> {
  if (jobs.length === 0) return [];
  const remembered = await redis.mget(jobs.map((job) => publishedKey(stream, watchKey(job))));
  return await Promise.all(
    remembered.map(async (record) => {
      if (record === null) return undefined;
      const [entryId = '', status] = record.split(' ');
      const event = await eventAt(redis, stream, entryId);
      return { entryId, status: status === 'completed' ? 'completed' : 'failed', event } as const;
    }),
  );
}

/** @returns the event of a stream entry; null if that has been trimmed. */
export async function eventAt(redis: RedisClient, stream: string, entryId: string): Promise<CfwJobEvent | null> {
  const [entry] = await redis.xrange(stream, entryId, entryId);
  return entry === undefined ? null : fromEntry(...entry);
}
