import {
  createRedisBackend,
  type IQueueBackend,
  type JobJson,
  type JobsOptions,
  type MinimalJob,
  type RedisQueueBackend,
} from 'bullmq';
import type { RedisClient } from '../redis/index.js';
import { COOL_DOWN } from './calls.js';
import { cancelledBy } from './cancel.js';
import type { RedisClock } from './clock.js';
import { parseJson } from './job.js';
import { formatProgress, type Progress } from './progress.js';

/** A job that was taken: it is locked for us until its lock runs out. */
export interface Taken {
  readonly id: string;
  /** Redis refuses what is written with another one, since another worker has the job by then. */
  readonly token: string;
  readonly name: string;
  /** What its producer gave; `NOT_JSON` if that cannot be read. */
  readonly data: unknown;
  readonly opts: JobsOptions;
  readonly progress: unknown;
  readonly priority: number;
  readonly timestamp: number;
  /** How often it was taken, this time included. */
  readonly attempts: number;
  /** The stream entry of its event, if its watch was cancelled. */
  readonly cancelledBy: string | undefined;
}

/** How a fetch came out. */
export interface Fetched {
  readonly job: Taken | undefined;
  /** How much longer a cool-down lasts, in milliseconds; 0 if there is none. */
  readonly coolDownMs: number;
  /** When the first of the delayed jobs is due, in epoch milliseconds; 0 if that is not known. */
  readonly nextDueAt: number;
}

/** What BullMQ answers to a fetch: nothing, or a job, its id, and two numbers. */
type Reply = undefined | readonly [] | readonly [JobJson | null, string, number?, number?];

/** Which queue, and how its jobs are kept. */
export interface QueueStoreOptions {
  readonly redis: RedisClient;
  readonly queueName: string;
  readonly queuePrefix: string;
  readonly clock: RedisClock;
  /** Milliseconds. */
  readonly lockMs: number;
  readonly stalledEveryMs: number;
  /** Of ended jobs: for how many seconds, and how many at the most. */
  readonly keepEnded: { readonly age: number; readonly count: number };
  readonly onError: (error: unknown) => void;
}

/**
 * BullMQ looks at its rate-limit key only in workers that have a limit. Ours is never reached: the key stands for cool-downs.
 * The window is as short as that of versions that limited by it, which may work on the same queue.
 */
const ONLY_COOL_DOWNS = { max: COOL_DOWN, duration: 40 };
/** Clocks that differ by less are not corrected; in milliseconds. */
const CLOCK_TOLERANCE_MS = 100;

/**
 * What a worker does with BullMQ's queue, each thing in one atomic step of Redis: BullMQ's data and scripts, without its
 * worker. All that is known of the backend of the version that package.json pins is known here.
 */
export class QueueStore {
  readonly #backend: IQueueBackend;
  readonly #options: QueueStoreOptions;

  constructor(options: QueueStoreOptions) {
    this.#options = options;
    const { redis, queueName, queuePrefix, clock, lockMs, stalledEveryMs, onError } = options;
    const ofWorker = {
      connection: redis,
      prefix: queuePrefix,
      limiter: ONLY_COOL_DOWNS,
      lockDuration: lockMs,
      stalledInterval: stalledEveryMs,
      // Any finite limit wears out, since BullMQ never resets its count.
      maxStalledCount: Number.POSITIVE_INFINITY,
    };
    const backend = createRedisBackend(queueName, ofWorker, { withBlockingConnection: true });
    useRedisTime(backend, clock);
    backend.on('error', onError);
    this.#backend = backend;
  }

  /** Takes the next job. */
  async take(token: string): Promise<Fetched> {
    return fetched((await this.#backend.moveToActive(token)) as unknown as Reply, token);
  }

  /** Gives a job back until a time, together with what is known of it; with `fetchNext` the next one is taken. */
  async park({ id, token }: Taken, until: number, fetchNext: boolean, progress?: Progress): Promise<Fetched> {
    const now = Math.round(this.#options.clock.now());
    const reply = await this.#backend.moveToDelayed(id, now, Math.max(0, Math.round(until) - now), token, {
      skipAttempt: true,
      fetchNext,
      // Not an empty object: BullMQ's script would fail on that, after it has removed the lock.
      ...(progress === undefined ? {} : { fieldsToUpdate: { progress: formatProgress(progress) } }),
    });
    return fetched(reply as Reply, token);
  }

  /** Ends a job; with `fetchNext` the next one is taken. */
  async complete({ id, token, opts }: Taken, value: unknown, fetchNext: boolean, forget: boolean): Promise<Fetched> {
    const keep = forget ? true : (opts.removeOnComplete ?? this.#options.keepEnded);
    const { result } = await this.#backend.moveToCompleted({ id, opts } as MinimalJob, value, keep, token, fetchNext);
    return fetched(result as unknown as Reply, token);
  }

  /** @returns the ids of those whose locks are lost. */
  async renewLocks(jobs: readonly Taken[]): Promise<string[]> {
    const ids = jobs.map(({ id }) => id);
    const tokens = jobs.map(({ token }) => token);
    return await this.#backend.extendLocks(ids, tokens, this.#options.lockMs);
  }

  /** Puts jobs back into the backlog whose locks have run out. @returns their ids. */
  async putStalledBack(): Promise<string[]> {
    return await this.#backend.moveStalledJobsToWait();
  }

  /**
   * Waits for BullMQ's word that a job is there. The process that gets it must fetch: no other one gets it.
   *
   * @param ms how long to wait at the most.
   * @returns 0 if one may be there; when the first of the delayed jobs is due, in epoch milliseconds; undefined if no word came.
   */
  async wait(ms: number): Promise<number | undefined> {
    return (await this.#backend.waitForJob(ms / 1_000))?.score;
  }

  /** Ends a wait that is under way. */
  interrupt(): void {
    this.#backend.disconnectBlocking(false).catch(() => {});
  }

  /** After a wait has failed. */
  async recover(): Promise<void> {
    await this.#backend.reconnectBlocking();
  }

  /** Closes the connection on which it waits. The other one is its owner's: jobs can still be given back. */
  async close(): Promise<void> {
    await this.#backend.close(true);
  }
}

/**
 * BullMQ passes the machine's time to its scripts, as a number among their arguments. If the machine's clock is wrong, Redis's
 * time takes its place: else all delayed jobs would be fetched too early, or none in time.
 */
function useRedisTime(backend: RedisQueueBackend, clock: RedisClock): void {
  const execCommand = backend.execCommand.bind(backend);
  backend.execCommand = (client, name, args) => {
    const aheadMs = clock.machineAheadMs;
    if (Math.abs(aheadMs) < CLOCK_TOLERANCE_MS) return execCommand(client, name, args);
    const machineNow = Date.now();
    const corrected = (arg: unknown) =>
      typeof arg === 'number' && Math.abs(machineNow - arg) < CLOCK_TOLERANCE_MS / 2 ? Math.round(arg - aheadMs) : arg;
    return execCommand(client, name, args.map(corrected));
  };
}

function fetched(reply: Reply, token: string): Fetched {
  const [json, id, coolDownMs = 0, nextDueAt = 0] = reply ?? [];
  if (json == null || id === undefined) return { job: undefined, coolDownMs, nextDueAt };
  const { name, data, opts, progress, priority = 0, timestamp, attemptsStarted: attempts } = json;
  const known = { id, token, name, data: parseJson(data), opts, progress, priority, timestamp, attempts };
  const job = { ...known, cancelledBy: cancelledBy(json.failedReason) };
  return { job, coolDownMs: 0, nextDueAt: 0 };
}
