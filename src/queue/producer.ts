import { Queue } from 'bullmq';
import { type CfwJobEvent, findPublished, type WatchedJob, watchKey } from '../events/index.js';
import type { RedisClient } from '../redis/index.js';
import { type CfwJobRequest, type PollJob, parseJobData } from './job.js';
import { parseProgress } from './progress.js';
import { hostTelemetry } from './telemetry.js';

/** Where jobs are handed in. */
export interface CfwJobProducerOptions {
  /** A connection to Redis; it stays the caller's to close. */
  readonly redis: RedisClient;
  /** Name of the BullMQ queue. @default 'cfw-jobs' */
  readonly queueName?: string;
  /** Prefix of the queue's keys. @default '{cfw}' */
  readonly queuePrefix?: string;
  /** The stream of events, in which jobs that have already ended are looked up. @default '{cfw}:events' */
  readonly eventStream?: string;
  /** Project of jobs that name none. */
  readonly projectId?: string;
}

/** A job that was handed in. */
export interface EnqueuedJob {
  readonly projectId: string;
  readonly jobId: string;
  readonly watchId: string | null;
  /** The BullMQ job id: `<projectId>.<jobId>`, with `.<watchId>` where there is one. */
  readonly queueJobId: string;
  /**
   * `queued`: it is in the queue now, or was before. `completed`, `failed`: it had ended before and is remembered, so
   * nothing was enqueued; a `watchId` watches it once more.
   */
  readonly state: 'queued' | 'completed' | 'failed';
}

/** Where a job stands. */
export interface CfwJobStatus {
  readonly projectId: string;
  readonly jobId: string;
  readonly watchId: string | null;
  /** `queued`: not yet polled. `polling`: polled, and not ended. `completed`, `failed`: its event is published. */
  readonly state: 'queued' | 'polling' | 'completed' | 'failed';
  /** RFC 3339; null where it is not known any more. */
  readonly enqueuedAt: string | null;
  /** Calls made for it, as of the last time its worker wrote that down. */
  readonly polls: number | null;
  /** The last status CFW gave. */
  readonly cfwStatus: string | null;
  /** The last failed call. */
  readonly lastError: { readonly code: string; readonly message: string } | null;
  /** The event; null before the end, and where the stream has been trimmed since. */
  readonly event: CfwJobEvent | null;
}

/** A job does not fit; nothing was enqueued. `problems` has a line for each field. */
export class InvalidJobError extends Error {
  override readonly name = 'InvalidJobError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`nothing was enqueued: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

/** Hands CFW jobs to the queue. */
export class CfwJobProducer {
  readonly #options: CfwJobProducerOptions;
  readonly #queue: Queue;

  constructor(options: CfwJobProducerOptions) {
    this.#options = options;
    this.#queue = new Queue(options.queueName ?? 'cfw-jobs', {
      connection: options.redis,
      prefix: options.queuePrefix ?? '{cfw}',
      ...hostTelemetry(),
    });
    // Lost connections are told by the caller's own connection, and each call rejects; without a listener BullMQ prints.
    this.#queue.on('error', () => {});
  }

  /**
   * Enqueues one job. Doing so again while the job is known changes nothing.
   *
   * @throws {InvalidJobError} where the data does not fit.
   */
  async enqueue(job: CfwJobRequest): Promise<EnqueuedJob> {
    const [enqueued] = await this.#enqueue([job], () => '');
    return enqueued as EnqueuedJob;
  }

  /**
   * Enqueues many jobs in one round trip, all or none. The same job given twice is one job.
   *
   * @returns what became of each job, in order.
   * @throws {InvalidJobError} where the data of any does not fit, naming each.
   */
  async enqueueMany(jobs: readonly CfwJobRequest[]): Promise<EnqueuedJob[]> {
    return await this.#enqueue(jobs, (index) => `jobs[${index}].`);
  }

  /**
   * Where a job stands, by two look-ups in Redis.
   *
   * @returns undefined where the job is not known: never enqueued, or ended longer ago than `EVENT_DEDUP_TTL`. A job that
   *   was enqueued with a BullMQ id of its own is known here once it has ended.
   */
  async status({ projectId, jobId, watchId = null }: WatchedJob): Promise<CfwJobStatus | undefined> {
    const { redis, eventStream = '{cfw}:events' } = this.#options;
    const ids = { projectId, jobId, watchId };
    // The queue is asked first: a job that ends in between is then found in the memory.
    const queued = await this.#queue.getJob(watchKey(ids));
    const [published] = await findPublished(redis, eventStream, [ids]);
    if (published !== undefined) {
      const { status, event } = published;
      const { enqueuedAt = null, polls = null, cfwStatus = null, lastError = null } = event?.data ?? {};
      return { ...ids, state: status, enqueuedAt, polls, cfwStatus, lastError, event };
    }
    // Ended without an event of its own: its data did not fit, or the event is forgotten.
    if (queued === undefined || queued.finishedOn !== undefined) return undefined;
    const {
      enqueuedAt = queued.timestamp,
      polls = 0,
      cfwStatus = null,
      lastError = null,
    } = parseProgress(queued.progress) ?? {};
    return {
      ...ids,
      // Where it was taken for the first time, its first call may still be under way.
      state: queued.processedOn === undefined ? 'queued' : 'polling',
      enqueuedAt: new Date(enqueuedAt).toISOString(),
      polls,
      cfwStatus,
      lastError,
      event: null,
    };
  }

  /** Lets go of the queue; the Redis connection stays open. */
  async close(): Promise<void> {
    await this.#queue.close();
  }

  async #enqueue(requests: readonly CfwJobRequest[], label: (index: number) => string): Promise<EnqueuedJob[]> {
    const { redis, eventStream = '{cfw}:events', projectId } = this.#options;
    const problems: string[] = [];
    const jobs: PollJob[] = [];
    for (const [index, request] of requests.entries()) {
      const job = parseJobData(request, projectId);
      if ('problems' in job) problems.push(...job.problems.map((problem) => `${label(index)}${problem}`));
      else jobs.push(job);
    }
    if (problems.length > 0) throw new InvalidJobError(problems);

    // BullMQ forgets a job sooner after its end than we do, so it alone cannot keep ended jobs from coming back.
    const published = await findPublished(redis, eventStream, jobs);
    const isNew = (_: PollJob, index: number) => published[index] === undefined;
    await this.#queue.addBulk(
      jobs.filter(isNew).map((job) => ({
        name: 'poll',
        data: withoutNulls(job),
        opts: { jobId: watchKey(job) },
      })),
    );
    return jobs.map((job, index) => ({
      projectId: job.projectId,
      jobId: job.jobId,
      watchId: job.watchId,
      queueJobId: watchKey(job),
      state: published[index]?.status ?? 'queued',
    }));
  }
}

function withoutNulls(job: PollJob): Record<string, unknown> {
  return Object.fromEntries(Object.entries(job).filter(([, value]) => value !== null));
}
