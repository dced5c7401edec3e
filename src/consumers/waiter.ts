import { setMaxListeners } from 'node:events';
import type { CfwJobEvent } from '../events/index.js';
import { findPublished, readEvents, type WatchedJob, watchKey } from '../events/index.js';
import type { RedisClient } from '../redis/index.js';

/** Where to wait. */
export interface CfwJobWaiterOptions {
  /** A connection to Redis; it stays the caller's. One copy of it is made for reading, however many wait. */
  readonly redis: RedisClient;
  /** The stream of events. @default '{cfw}:events' */
  readonly stream?: string;
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
  readonly job: WatchedJob;

  constructor(job: WatchedJob, timeoutMs: number) {
    super(`${watchKey(job)} had no event within ${timeoutMs} ms`);
    this.job = job;
  }
}

/** A job has ended, but the stream has trimmed its event since; only how it ended is remembered. */
export class EventTrimmedError extends Error {
  override readonly name = 'EventTrimmedError';
  readonly job: WatchedJob;
  readonly status: 'completed' | 'failed';

  constructor(job: WatchedJob, status: 'completed' | 'failed') {
    super(`${watchKey(job)} has ${status}, but its event has been trimmed from the stream`);
    this.job = job;
    this.status = status;
  }
}

/** The waiter was closed while somebody waited. */
export class WaiterClosedError extends Error {
  override readonly name = 'WaiterClosedError';
}

interface Waiting {
  resolve(event: CfwJobEvent): void;
  reject(error: Error): void;
}

/** Waits for the ends of jobs, any number at a time, on one connection of its own. */
export class CfwJobWaiter {
  readonly #redis: RedisClient;
  readonly #stream: string;
  readonly #waiting = new Map<string, Set<Waiting>>();
  readonly #closing = new AbortController();
  /** Resolves when it is settled from where on the reader sees everything. */
  #reading: Promise<void> | undefined;

  constructor({ redis, stream = '{cfw}:events' }: CfwJobWaiterOptions) {
    this.#redis = redis;
    this.#stream = stream;
    setMaxListeners(0, this.#closing.signal);
  }

  /**
   * Waits for the event of a job, be it published before (within `EVENT_DEDUP_TTL`), during or after the call.
   *
   * @throws {WaitTimeoutError} after `timeout`.
   * @throws {EventTrimmedError} where the job ended, but its event is gone.
   * @throws {WaiterClosedError} when the waiter is closed.
   * @throws the reason of `signal` when that is aborted, and what Redis answers where it cannot be read.
   */
  async waitForJob(job: WatchedJob, { timeout, signal }: WaitForJobOptions = {}): Promise<CfwJobEvent> {
    signal?.throwIfAborted();
    if (this.#closing.signal.aborted) throw new WaiterClosedError('the waiter is closed');
    if (timeout !== undefined && !(timeout >= 1 && timeout <= MAX_TIMEOUT_MS)) {
      throw new RangeError(`timeout: ${timeout} does not fit; allowed are 1 to ${MAX_TIMEOUT_MS} milliseconds`);
    }
    const key = watchKey(job);
    let giveUp: ((error: Error) => void) | undefined;
    const onAbort = () => giveUp?.(signal?.reason as Error);
    const timer =
      timeout === undefined ? undefined : setTimeout(() => giveUp?.(new WaitTimeoutError(job, timeout)), timeout);
    signal?.addEventListener('abort', onAbort, { once: true });
    let waiting: Waiting | undefined;
    try {
      return await new Promise<CfwJobEvent>((resolve, reject) => {
        giveUp = reject;
        waiting = { resolve, reject };
        this.#add(key, waiting);
        this.#lookUp(job, waiting).catch(reject);
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      if (waiting !== undefined) this.#remove(key, waiting);
    }
  }

  /** Ends the reading; whoever still waits gets a `WaiterClosedError`. */
  close(): void {
    this.#closing.abort();
    this.#rejectAll(new WaiterClosedError('the waiter was closed'));
  }

  /**
   * No gap: whoever waits is entered first, then it is settled from where on the reader sees everything, and only then the
   * memory is asked. What was published before that question is in the memory, what comes after is seen by the reader.
   */
  async #lookUp(job: WatchedJob, waiting: Waiting): Promise<void> {
    this.#reading ??= this.#startReading();
    await this.#reading;
    const [published] = await findPublished(this.#redis, this.#stream, [job]);
    if (published === undefined) return;
    if (published.event === null) waiting.reject(new EventTrimmedError(job, published.status));
    else waiting.resolve(published.event);
  }

  async #startReading(): Promise<void> {
    try {
      const [last] = await this.#redis.xrevrange(this.#stream, '+', '-', 'COUNT', 1);
      void this.#read(last?.[0] ?? '0-0');
    } catch (error) {
      this.#reading = undefined;
      throw error;
    }
  }

  async #read(from: string): Promise<void> {
    try {
      const events = readEvents(this.#redis, { stream: this.#stream, from, signal: this.#closing.signal });
      for await (const { event } of events) {
        const { projectId, jobId, watchId } = event.data;
        // The event of an entry of the queue that did not fit is not that of the job which it perhaps meant.
        if (projectId === null || jobId === null || event.subject !== jobId || event.id.startsWith('bullmq:')) continue;
        for (const waiting of this.#waiting.get(watchKey({ projectId, jobId, watchId })) ?? []) waiting.resolve(event);
      }
    } catch (error) {
      // The stream cannot be read at all (a key of another type, no permission); the next call tries anew.
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
