import { findPublished, type WatchedJob, watchKey } from '../events/index.js';
import { InvalidOptionError, type RedisConnection } from '../redis/index.js';
import { type CancelResult, JobCanceller } from './cancel.js';
import { type CfwJobRequest, type PollJob, parseJobData } from './job.js';
import { type CfwJobStatus, readStatuses } from './job-status.js';
import { JobListing, type JobPage, type ListJobsOptions } from './listing.js';
import { type Opened, ProducerConnection } from './producer-connection.js';

/** Where jobs are handed in. */
export interface CfwJobProducerOptions {
  /**
   * A connection to Redis; it stays the caller's to close. A copy of it is made with the first call, which has its address
   * and login and, but for `enableOfflineQueue: false`, none of its other options. It must not have a `keyPrefix`.
   */
  readonly redis: RedisConnection;
  /** Name of the BullMQ queue. @default 'cfw-jobs' */
  readonly queueName?: string;
  /** Prefix of the queue's keys. @default '{cfw}' */
  readonly queuePrefix?: string;
  /** The stream of events, in which jobs that have already ended are looked up. @default '{cfw}:events' */
  readonly eventStream?: string;
  /** Project of jobs that name none. */
  readonly projectId?: string;
  /**
   * How long a call waits for Redis, in milliseconds: through a failover, say. If the connection has
   * `enableOfflineQueue: false`, a call waits for 2 seconds at the most while there is no connection.
   *
   * @default 30000 @minimum 1 @maximum 86400000
   */
  readonly timeoutMs?: number;
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
  /** The BullMQ job id: `<projectId>.<jobId>`, with `.<watchId>` if there is one. */
  readonly queueJobId: string;
  /**
   * `queued`: it is in the queue now, or was before. `completed`, `failed`: it had ended before and is remembered, so
   * nothing was enqueued; a `watchId` watches it once more.
   */
  readonly state: 'queued' | 'completed' | 'failed';
}

/** The problems that a message lists; the rest are counted. */
const LISTED_PROBLEMS = 20;

/** A job is invalid; nothing was enqueued. `problems` has a line for each field. */
export class InvalidJobError extends Error {
  override readonly name = 'InvalidJobError';
  readonly code = 'INVALID_JOB';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    const rest = problems.length - LISTED_PROBLEMS;
    const listed = problems.slice(0, LISTED_PROBLEMS).join('; ');
    super(`nothing was enqueued: ${listed}${rest > 0 ? `; and ${rest} more` : ''}`);
    this.problems = problems;
  }
}

/** Jobs that go to Redis in one round trip. */
const BATCH = 1_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_TIMEOUT_MS = 86_400_000;

/**
 * Hands CFW jobs to the queue.
 *
 * @example
 * ```ts
 * import { Redis } from 'ioredis';
 * import { CfwJobProducer } from 'cfw-job-poller';
 *
 * const redis = new Redis('redis://127.0.0.1:6379');
 * const producer = new CfwJobProducer({ redis, projectId: '09bb24e6fe80d23d2fa2c010b53b418c' });
 * await producer.enqueue({ jobId: 'f588ce71-e26c-400d-8981-f854355f6849', metadata: { orderId: '42' } });
 *
 * await producer.close();
 * redis.disconnect();
 * ```
 */
export class CfwJobProducer {
  readonly #options: CfwJobProducerOptions;
  readonly #connection: ProducerConnection;

  /** @throws {InvalidOptionError} naming the option that is invalid. */
  constructor(options: CfwJobProducerOptions) {
    const { timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    if (!(timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS)) {
      const message = `timeoutMs is invalid: ${timeoutMs}; expected 1 to ${MAX_TIMEOUT_MS} milliseconds`;
      throw new InvalidOptionError('timeoutMs', message);
    }
    this.#options = options;
    this.#connection = new ProducerConnection({
      redis: options.redis,
      queueName: options.queueName ?? 'cfw-jobs',
      queuePrefix: options.queuePrefix ?? '{cfw}',
      eventStream: options.eventStream ?? '{cfw}:events',
      timeoutMs,
    });
  }

  /**
   * Enqueues one job. Doing so again while the job is known changes nothing.
   *
   * @throws {InvalidJobError} if the data is invalid.
   * @throws {RedisUnavailableError} if Redis could not be used for `timeoutMs`. The job may have been enqueued or not;
   *   enqueueing it again is safe.
   */
  async enqueue(job: CfwJobRequest): Promise<EnqueuedJob> {
    const [enqueued] = await this.#enqueue([job], () => '');
    return enqueued as EnqueuedJob;
  }

  /**
   * Enqueues many jobs, a thousand in one round trip: none if the data of any is invalid, and each thousand wholly or not
   * at all. The same job given twice is one job.
   *
   * @returns what became of each job, in order.
   * @throws {InvalidJobError} if the data of any is invalid, naming each.
   * @throws {RedisUnavailableError} if Redis could not be used for `timeoutMs`. Some jobs may have been enqueued; enqueueing
   *   all of them again is safe.
   */
  async enqueueMany(jobs: readonly CfwJobRequest[]): Promise<EnqueuedJob[]> {
    return await this.#enqueue(jobs, (index) => `jobs[${index}].`);
  }

  /**
   * Where a job stands, by two look-ups in Redis.
   *
   * @returns undefined if the job is not known: never enqueued, or ended longer ago than `EVENT_DEDUP_TTL`. A job that
   *   was enqueued with a BullMQ id of its own is known here once it has ended.
   * @throws {RedisUnavailableError} if Redis could not be used for `timeoutMs`.
   */
  async status({ projectId, jobId, watchId = null }: WatchedJob): Promise<CfwJobStatus | undefined> {
    const [found] = await this.#connection.use((opened) => this.#statuses([{ projectId, jobId, watchId }], opened));
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
    const { eventStream = '{cfw}:events', projectId } = this.#options;
    return await this.#connection.use(({ redis, queue }) => {
      const key = (name: string) => queue.toKey(name);
      return new JobListing({ redis, key, eventStream, projectId }).page(options);
    });
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
    const { eventStream = '{cfw}:events', projectId, endpoint } = this.#options;
    const [results, statuses] = await this.#connection.use(async ({ redis, queue }) => {
      const key = (name: string) => queue.toKey(name);
      const canceller = new JobCanceller({ redis, key, eventStream, projectId, endpoint });
      return [await canceller.cancel(jobs), await this.#statuses(jobs, { redis, queue })] as const;
    });
    return statuses.map((job, n) => ({ result: results[n] as CancelResult, job }));
  }

  /** Closes what the producer has opened; the connection that it was given stays open. */
  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #statuses(jobs: readonly WatchedJob[], { redis, queue }: Opened): Promise<(CfwJobStatus | undefined)[]> {
    const { eventStream = '{cfw}:events', projectId: defaultId } = this.#options;
    // The queue is asked first: a job that ends in between is then found among the published ones.
    const queued = await readStatuses(redis, (name) => queue.toKey(name), jobs.map(watchKey), defaultId);
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
    const jobs = parseRequests(requests, this.#options.projectId, label);

    const enqueued: EnqueuedJob[] = [];
    for (let from = 0; from < jobs.length; from += BATCH) {
      const batch = jobs.slice(from, from + BATCH);
      // BullMQ may forget a job sooner after its end than we do, and later, too: so our memory decides.
      const ends = await this.#connection.forgetFinished(batch.map(watchKey));
      const unknown = batch.filter((_, index) => ends[index] === undefined);
      await this.#connection.use(({ queue }) =>
        queue.addBulk(
          unknown.map((job) => ({ name: 'poll', data: withoutNulls(job), opts: { jobId: watchKey(job) } })),
        ),
      );
      for (const [index, job] of batch.entries()) {
        const { projectId, jobId, watchId } = job;
        enqueued.push({ projectId, jobId, watchId, queueJobId: watchKey(job), state: ends[index] ?? 'queued' });
      }
    }
    return enqueued;
  }
}

/**
 * Checks requests without asking Redis.
 *
 * @param label what to call a request in a problem, by its index.
 * @throws {InvalidJobError} when the data of any is invalid, naming each.
 */
export function parseRequests(
  requests: readonly CfwJobRequest[],
  projectId: string | undefined,
  label: (index: number) => string = (index) => `jobs[${index}].`,
): PollJob[] {
  const problems: string[] = [];
  const jobs: PollJob[] = [];
  for (const [index, request] of requests.entries()) {
    const job = parseJobData(request, projectId);
    if ('problems' in job) problems.push(...job.problems.map((problem) => `${label(index)}${problem}`));
    else jobs.push(job);
  }
  if (problems.length > 0) throw new InvalidJobError(problems);
  return jobs;
}

function withoutNulls(job: PollJob): Record<string, unknown> {
  return Object.fromEntries(Object.entries(job).filter(([, value]) => value !== null));
}
