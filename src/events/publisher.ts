import { readFileSync } from 'node:fs';
import type { RedisClient } from '../redis/index.js';
import { type CfwJobEvent, type CfwJobEventData, toEntry } from './event.js';
import { memoryKey, watchKey } from './published.js';

/** Where events go. */
export interface EventPublisherOptions {
  readonly redis: RedisClient;
  readonly stream: string;
  /** Entries to keep at least, approximately; 0 never trims. */
  readonly maxLength: number;
  /** How long a published job is remembered, in milliseconds. @minimum 1 */
  readonly dedupTtlMs: number;
  /** Base URL of CFW; the events' `source` begins with it. */
  readonly endpoint: string;
}

/** What came of publishing. */
export interface PublishResult {
  /** Id of the job's stream entry, be it of now or of before. */
  readonly entryId: string;
  /** False where the job had been published before; nothing was appended then. */
  readonly isNew: boolean;
}

/** The end of a job, from which its event is made. */
export type JobEnd = Omit<CfwJobEventData, 'status' | 'errorCounts'> & {
  readonly errorCounts: Readonly<Record<string, number>>;
  /** The trace that the job belongs to. */
  readonly traceparent?: string | null;
};

/** A job that cannot be told by its ids since its data does not fit; its event is named after the queue's entry. */
export interface UnreadableJob {
  readonly queueName: string;
  /** The BullMQ job id. */
  readonly queueJobId: string;
}

const PUBLISH_ONCE = readFileSync(new URL('./publish-once.lua', import.meta.url), 'utf8');

/** The error codes of a job that its event tells. */
const MAX_ERROR_COUNTS = 10;

/** ioredis adds a script as a method, which its types cannot know. */
interface WithPublishOnce {
  cfwPublishOnce(memory: string, stream: string, ...args: (string | number)[]): Promise<[number, string]>;
}

/** Publishes the end of each job, once. */
export class EventPublisher {
  readonly #options: EventPublisherOptions;
  readonly #redis: WithPublishOnce;

  constructor(options: EventPublisherOptions) {
    this.#options = options;
    options.redis.defineCommand('cfwPublishOnce', { numberOfKeys: 2, lua: PUBLISH_ONCE });
    this.#redis = options.redis as unknown as WithPublishOnce;
  }

  /**
   * Publishes how a job ended, unless that was done before. Safe to call again after any failure.
   *
   * @throws what Redis answers where it cannot append; nothing is remembered then.
   */
  async publish(end: JobEnd & { projectId: string; jobId: string }): Promise<PublishResult> {
    const id = end.watchId === null ? end.jobId : `${end.jobId}.${end.watchId}`;
    return await this.#append(watchKey(end), id, end.jobId, end);
  }

  /**
   * Publishes that an entry of the queue does not fit. Its id is that of the queue's entry: it must not stand in the way
   * of the event of the CFW job that it perhaps meant.
   */
  async publishUnreadable(job: UnreadableJob, end: JobEnd): Promise<PublishResult> {
    const id = `bullmq:${job.queueName}:${job.queueJobId}`;
    return await this.#append(id, id, end.jobId ?? id, end);
  }

  async #append(key: string, id: string, subject: string, end: JobEnd): Promise<PublishResult> {
    const { stream, maxLength, dedupTtlMs, endpoint } = this.#options;
    const status = end.reason === null ? 'completed' : 'failed';
    const event = {
      specversion: '1.0',
      id,
      source: `${endpoint}/v3/${end.projectId ?? '-'}`,
      type: `cfw.job.${status}`,
      subject,
      time: new Date().toISOString(),
      datacontenttype: 'application/json',
      traceparent: end.traceparent ?? undefined,
      data: {
        projectId: end.projectId,
        jobId: end.jobId,
        status,
        cfwStatus: end.cfwStatus,
        reason: end.reason,
        message: end.message,
        beginTime: end.beginTime,
        endTime: end.endTime,
        enqueuedAt: end.enqueuedAt,
        polls: end.polls,
        watchId: end.watchId,
        errorCounts: mostFrequent(end.errorCounts),
        lastError: end.lastError,
        metadata: end.metadata,
      },
    } as CfwJobEvent;
    const [isNew, entryId] = await this.#redis.cfwPublishOnce(
      memoryKey(stream, key),
      stream,
      dedupTtlMs,
      maxLength,
      status,
      ...toEntry(event),
    );
    return { entryId, isNew: isNew === 1 };
  }
}

function mostFrequent(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .slice(0, MAX_ERROR_COUNTS),
  );
}
