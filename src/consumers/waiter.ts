import { setMaxListeners } from 'node:events';
import type { CfwJobEvent } from '../events/index.js';
import { findPublished, readEvents, type WatchedJob, watchKey } from '../events/index.js';
import {
  ask,
  checkConnection,
  copyConnection,
  InvalidOptionError,
  type RedisClient,
  type RedisConnection,
} from '../redis/index.js';

/** Where to wait. */
export interface CfwJobWaiterOptions {
  /**
   * A connection to Redis; it stays the caller's. Two copies of it are made with the first wait, one for reading and one for
   * look-ups, however many wait. They have its address and login and none of its other options. It must not have a
   * `keyPrefix`.
   */
  readonly redis: RedisConnection;
  /** The stream of events. @default '{cfw}:events' */
  readonly stream?: string;
  /** Redis cannot be reached, is silent, or answers with a passing error; waiting goes on. */
  readonly onError?: (error: Error) => void;
}

/** How long to wait. */
export interface WaitForJobOptions {
  /** Gives up after so many milliseconds. @default no limit @minimum 1 */
  readonly timeout?: number;
  /** Gives up when aborted. */
  readonly signal?: AbortSignal;
}

/** A job had no event within the `timeout`. The job itself goes on: waiting again may find it. */
export class WaitTimeoutError extends Error {
  override readonly name = 'WaitTimeoutError';
  readonly code = 'WAIT_TIMEOUT';
  readonly job: WatchedJob;

  constructor(job: WatchedJob, timeoutMs: number) {
    super(`${watchKey(job)} had no event within ${timeoutMs} ms`);
    this.job = job;
  }
}

/** A job has ended, but the stream has trimmed its event since; only how it ended is remembered. */
export class EventTrimmedError extends Error {
  override readonly name = 'EventTrimmedError';
  readonly code = 'EVENT_TRIMMED';
  readonly job: WatchedJob;
  readonly status: 'completed' | 'failed';

  constructor(job: WatchedJob, status: 'completed' | 'failed') {
    super(`${watchKey(job)} has ${status}, but its event has been trimmed from the stream`);
    this.job = job;
    this.status = status;
  }
}

/** The waiter was closed during a wait. */
export class WaiterClosedError extends Error {
  override readonly name = 'WaiterClosedError';
  readonly code = 'WAITER_CLOSED';
}

interface Waiting {
  resolve(event: CfwJobEvent): void;
  reject(error: Error): void;
}

/**
 * Waits for the ends of jobs, any number at a time, on two connections of its own.
 *
 * @example
 * ```ts
 * import { Redis } from 'ioredis';
 * import { CfwJobWaiter } from 'cfw-job-poller';
 *
 * const redis = new Redis('redis://127.0.0.1:6379');
 * const waiter = new CfwJobWaiter({ redis });
 * try {
 *   const job = { projectId: '09bb24e6fe80d23d2fa2c010b53b418c', jobId: 'f588ce71-e26c-400d-8981-f854355f6849' };
 *   const event = await waiter.waitForJob(job, { timeout: 20 * 60_000 });
 *   console.log(event.type, event.data.reason);
 * } finally {
 *   waiter.close();
 *   redis.disconnect();
 * }
 * ```
 */
export class CfwJobWaiter {
  readonly #options: CfwJobWaiterOptions;
  /** For look-ups; made with the first wait. */
  #redis: RedisClient | undefined;
  readonly #stream: string;
  readonly #waiting = new Map<string, Set<Waiting>>();
  readonly #closing = new AbortController();
  /** Resolves when it is settled from where on the reader sees everything. */
  #reading: Promise<void> | undefined;

  /** @throws {InvalidOptionError} if the connection cannot be used. */
  constructor(options: CfwJobWaiterOptions) {
    checkConnection(options.redis);
    this.#options = options;
    this.#stream = options.stream ?? '{cfw}:events';
    setMaxListeners(0, this.#closing.signal);
  }

  /**
   * Waits for the event of a job, be it published before (within `EVENT_DEDUP_TTL`), during or after the call.
   *
   * @throws {WaitTimeoutError} after `timeout`.
   * @throws {EventTrimmedError} if the job ended, but its event is gone.
   * @throws {WaiterClosedError} when the waiter is closed.
   * @throws {InvalidOptionError} if `timeout` is out of bounds.
   * @throws the reason of `signal` when that is aborted, and what Redis answers if the stream cannot be read.
   */
  async waitForJob(job: WatchedJob, { timeout, signal }: WaitForJobOptions = {}): Promise<CfwJobEvent> {
    signal?.throwIfAborted();
    if (this.#closing.signal.aborted) throw new WaiterClosedError('the waiter is closed');
    if (timeout !== undefined && !(timeout >= 1 && timeout <= MAX_TIMEOUT_MS)) {
      const message = `timeout is invalid: ${timeout}; expected 1 to ${MAX_TIMEOUT_MS} milliseconds`;
      throw new InvalidOptionError('timeout', message);
    }
    const key = watchKey(job);
    let giveUp: ((error: Error) => void) | undefined;
    const onAbort = () => giveUp?.(signal?.reason as Error);
    const timer =
      timeout === undefined ? undefined : setTimeout(() => giveUp?.(new WaitTimeoutError(job, timeout)), timeout);
    signal?.addEventListener('abort', onAbort, { once: true });
    let waiting: Waiting | undefined;
    const ended = new AbortController();
    try {
      return await new Promise<CfwJobEvent>((resolve, reject) => {
        giveUp = reject;
        waiting = { resolve, reject };
        this.#add(key, waiting);
        this.#lookUp(job, waiting, ended.signal).catch(reject);
      });
    } finally {
      clearTimeout(timer);
      ended.abort();
      signal?.removeEventListener('abort', onAbort);
      if (waiting !== undefined) this.#remove(key, waiting);
    }
  }

  /** Ends the reading; each wait that is left throws a `WaiterClosedError`. */
  close(): void {
    const closed = new WaiterClosedError('the waiter was closed');
    this.#closing.abort(closed);
    this.#redis?.disconnect();
    this.#rejectAll(closed);
  }

  /**
   * No gap: the wait is entered first, then it is settled from where on the reader sees everything, and only then the
   * memory is asked. What was published before that question is in the memory, what comes after is seen by the reader.
   */
  async #lookUp(job: WatchedJob, waiting: Waiting, ended: AbortSignal): Promise<void> {
    this.#reading ??= this.#startReading();
    await this.#reading;
    const [published] = await this.#ask((redis) => findPublished(redis, this.#stream, [job]), ended);
    if (published === undefined) return;
    if (published.event === null) waiting.reject(new EventTrimmedError(job, published.status));
    else waiting.resolve(published.event);
  }

  async #startReading(): Promise<void> {
    try {
      const newest = (redis: RedisClient) => redis.xrevrange(this.#stream, '+', '-', 'COUNT', 1);
      const [last] = await this.#ask(newest, this.#closing.signal);
      void this.#read(last?.[0] ?? '0-0');
    } catch (error) {
      this.#reading = undefined;
      throw error;
    }
  }

  async #ask<T>(command: (redis: RedisClient) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { redis, onError } = this.#options;
    this.#redis ??= copyConnection(redis);
    const connection = this.#redis;
    return await ask(connection, () => command(connection), { signal, onError });
  }

  async #read(from: string): Promise<void> {
    try {
      const { redis, onError } = this.#options;
      const options = { stream: this.#stream, from, signal: this.#closing.signal };
      const events = readEvents(redis, onError === undefined ? options : { ...options, onError });
      for await (const { event } of events) {
        const { projectId, jobId, watchId } = event.data;
        // The event of an entry of the queue that did not fit is not that of the job which it perhaps meant.
        if (projectId === null || jobId === null || event.subject !== jobId || event.id.startsWith('bullmq:')) continue;
        for (const waiting of this.#waiting.get(watchKey({ projectId, jobId, watchId })) ?? []) waiting.resolve(event);
      }
    } catch (error) {
      // The stream cannot be read at all (a key of another type, no permission); the next call tries again.
      this.#reading = undefined;
      this.#rejectAll(error as Error);
    }
  }

  #add(key: string, waiting: Waiting): void {
    const others = this.#waiting.get(key);
    if (others === undefined) this.#waiting.set(key, new Set([waiting]));
    else others.add(waiting);
  }

  #remove(key: string, waiting: Waiting): void {
    const others = this.#waiting.get(key);
    others?.delete(waiting);
    if (others?.size === 0) this.#waiting.delete(key);
  }

  #rejectAll(error: Error): void {
    for (const others of this.#waiting.values()) for (const { reject } of others) reject(error);
  }
}

/** What Node's timers can wait. */
const MAX_TIMEOUT_MS = 2_147_483_647;
