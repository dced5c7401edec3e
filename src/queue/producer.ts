import { Queue } from 'bullmq';
import { findPublished, type WatchedJob, watchKey } from '../events/index.js';
import type { RedisClient } from '../redis/index.js';
import { type CancelResult, JobCanceller } from './cancel.js';
import { type CfwJobRequest, type PollJob, parseJobData } from './job.js';
import { type CfwJobStatus, readStatuses } from './job-status.js';
import { JobListing, type JobPage, type ListJobsOptions } from './listing.js';
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
  /**
   * Base URL of CFW, for the `source` of the events of cancelled jobs. @default that of the sidecar of this queue that was
   * started last
   */
  readonly endpoint?: string;
}

/** What became of a job that was to be cancelled. */
export interface CancelledJob {
  /** `cancelled`: by this call. `ended`: it had ended before. `unknown`: there is no such job. */
  readonly result: CancelResult;
  /** Where it stands now; undefined if it is not known. */
  readonly job: CfwJobStatus | undefined;
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
  readonly #listing: JobListing;
  readonly #canceller: JobCanceller;

  constructor(options: CfwJobProducerOptions) {
    this.#options = options;
    this.#queue = new Queue(options.queueName ?? 'cfw-jobs', {
      connection: options.redis,
      prefix: options.queuePrefix ?? '{cfw}',
      ...hostTelemetry(),
    });
    const { redis, eventStream = '{cfw}:events', projectId, endpoint } = options;
    const key = (name: string) => this.#queue.toKey(name);
    this.#listing = new JobListing({ redis, key, eventStream, projectId });
    this.#canceller = new JobCanceller({ redis, key, eventStream, projectId, endpoint });
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
    const [found] = await this.#statuses([{ projectId, jobId, watchId }]);
    return found;
  }

  /**
   * Lists jobs: queued ones (newest first), then polling ones (by their next poll), then ended ones (newest first, as far as
   * the stream reaches back).
   *
   * @throws {InvalidCursorError} if `cursor` is not the `next` of a page of the same list.
   * @throws {RangeError} if `limit` is out of its bounds.
   */
  async list(options: ListJobsOptions = {}): Promise<JobPage> {
    return await this.#listing.page(options);
  }

  /**
   * Stops watching a job: its event is `CANCELLED`, unless it has ended before. The CFW job itself goes on. At most one more
   * call goes out for it.
   *
   * @returns where the job stands after; undefined if it is not known.
   * @throws {UnknownEndpointError}
   */
  async cancel(job: WatchedJob): Promise<CfwJobStatus | undefined> {
    const [cancelled] = await this.cancelMany([job]);
    return cancelled?.job;
  }

  /**
   * Stops watching many jobs, by as many round trips as for one.
   *
   * @returns what became of each job, in order.
   * @throws {UnknownEndpointError}
   */
  async cancelMany(jobs: readonly WatchedJob[]): Promise<CancelledJob[]> {
    const results = await this.#canceller.cancel(jobs);
    const statuses = await this.#statuses(jobs);
    return statuses.map((job, n) => ({ result: results[n] as CancelResult, job }));
  }

  /** Lets go of the queue; the Redis connection stays open. */
  async close(): Promise<void> {
    await this.#queue.close();
  }

  async #statuses(jobs: readonly WatchedJob[]): Promise<(CfwJobStatus | undefined)[]> {
    const { redis, eventStream = '{cfw}:events', projectId: defaultId } = this.#options;
    // The queue is asked first: a job that ends in between is then found among the published ones.
    const queued = await readStatuses(redis, (name) => this.#queue.toKey(name), jobs.map(watchKey), defaultId);
    const published = await findPublished(redis, eventStream, jobs);
    return jobs.map(({ projectId, jobId, watchId = null }, n) => {
      const ids = { projectId, jobId, watchId };
      const ended = published[n];
      if (ended === undefined) {
        const status = queued[n]?.status;
        return status === undefined ? undefined : { ...status, ...ids };
      }
      const { enqueuedAt = null, polls = null, cfwStatus = null, lastError = null } = ended.event?.data ?? {};
      const { status: state, event } = ended;
      return { ...ids, state, enqueuedAt, polls, lastPollAt: null, nextPollAt: null, cfwStatus, lastError, event };
    });
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
