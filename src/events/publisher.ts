import { readFileSync } from 'node:fs';
import { type FinalVerdict, NEW_HISTORY, type PollHistory } from '../polling/index.js';
import { defineScript, type RedisClient } from '../redis/index.js';
import { type CfwJobEvent, type CfwJobEventData, toEntry } from './event.js';
import { eventAt, findPublished, type PublishedEvent, publishedKey, type WatchedJob, watchKey } from './published.js';

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
  /** False if the job had been published before; nothing was appended then. */
  readonly isNew: boolean;
  /** As it is on the stream; null if that has been trimmed since. */
  readonly event: CfwJobEvent | null;
}

/** What the event of a job takes from the job itself. */
export interface PublishableJob {
  readonly projectId: string;
  readonly jobId: string;
  readonly watchId: string | null;
  readonly metadata: CfwJobEventData['metadata'];
  readonly traceparent: string | null;
}

/** How a job ended, as its event says it. */
export interface EndedJob {
  readonly job: PublishableJob;
  /** Epoch milliseconds, as `endedAt`. */
  readonly enqueuedAt: number;
  readonly endedAt: number;
  readonly verdict: FinalVerdict;
  readonly history: PollHistory;
}

type Nullable<T> = { readonly [K in keyof T]: T[K] | null };

/** A queue job whose data is invalid; its event is named after the queue job, since its ids cannot be trusted. */
export interface InvalidQueueJob {
  readonly queueName: string;
  /** The BullMQ job id. */
  readonly queueJobId: string;
  readonly enqueuedAt: number;
  readonly endedAt: number;
  /** What could be read of it all the same. */
  readonly job: Nullable<PublishableJob> & { readonly problems: readonly string[] };
}

/** The error codes of a job that its event lists. */
const MAX_ERROR_COUNTS = 10;

/** Publishes the end of each job, once. */
export class EventPublisher {
  readonly #options: EventPublisherOptions;
  readonly #publishOnce: ReturnType<typeof defineScript<[number, string]>>;

  constructor(options: EventPublisherOptions) {
    this.#options = options;
    const lua = readFileSync(new URL('./publish-once.lua', import.meta.url), 'utf8');
    this.#publishOnce = defineScript(options.redis, 'cfwPublishOnce', 2, lua);
  }

  /**
   * Publishes how a job ended, unless that was done before. Safe to call again after any failure.
   *
   * @throws what Redis answers if it cannot append; nothing is remembered then.
   */
  async publish(ended: EndedJob): Promise<PublishResult> {
    const { jobId, watchId } = ended.job;
    const id = watchId === null ? jobId : `${jobId}.${watchId}`;
    return await this.#append(watchKey(ended.job), id, jobId, ended);
  }

  /** How a job ended, if that was published before. */
  async find(job: WatchedJob): Promise<PublishedEvent | undefined> {
    return (await findPublished(this.#options.redis, this.#options.stream, [job]))[0];
  }

  /** Its id is that of the queue job: it must not stand in the way of the event of the CFW job that it perhaps meant. */
  async publishInvalid({ queueName, queueJobId, job, ...times }: InvalidQueueJob): Promise<PublishResult> {
    const id = `bullmq:${queueName}:${queueJobId}`;
    const verdict = { kind: 'failed', reason: 'INVALID_REQUEST', message: job.problems.join('; ') } as const;
    return await this.#append(id, id, job.jobId ?? id, { job, ...times, verdict, history: NEW_HISTORY });
  }

  async #append(
    key: string,
    id: string,
    subject: string,
    { job, enqueuedAt, endedAt, verdict, history }: Omit<EndedJob, 'job'> & { job: Nullable<PublishableJob> },
  ): Promise<PublishResult> {
    const { redis, stream, maxLength, dedupTtlMs, endpoint } = this.#options;
    const { projectId, jobId, watchId, metadata, traceparent } = job;
    const { reason, message } = verdict.kind === 'failed' ? verdict : { reason: null, message: null };
    const { polls, errorCounts, lastError, cfwStatus, beginTime, endTime } = history;
    const event = {
      specversion: '1.0',
      id,
      source: `${endpoint}/v3/${projectId ?? '-'}`,
      type: `cfw.job.${verdict.kind}`,
      subject,
      time: new Date(endedAt).toISOString(),
      datacontenttype: 'application/json',
      traceparent: traceparent ?? undefined,
      data: {
        ...{ projectId, jobId, status: verdict.kind, cfwStatus, reason, message, beginTime, endTime },
        enqueuedAt: new Date(enqueuedAt).toISOString(),
        ...{ polls, watchId, errorCounts: mostFrequent(errorCounts), lastError, metadata },
      },
    } as CfwJobEvent;
    const [isNew, entryId] = await this.#publishOnce(
      publishedKey(stream, key),
      stream,
      dedupTtlMs,
      maxLength,
      verdict.kind,
      ...toEntry(event),
    );
    if (isNew === 1) return { entryId, isNew: true, event };
    return { entryId, isNew: false, event: await eventAt(redis, stream, entryId) };
  }
}

function mostFrequent(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .slice(0, MAX_ERROR_COUNTS),
  );
}
