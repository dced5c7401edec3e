import { setTimeout as sleep } from 'node:timers/promises';
import type { Deadline } from '../polling/index.js';
import type { RedisClient } from '../redis/index.js';
import { type QueuedJob, readQueued } from './queued.js';

export interface DeadlineWatchOptions {
  readonly redis: RedisClient;
  /** Names a key of the BullMQ queue, such as `wait`. */
  readonly key: (name: string) => string;
  /** Epoch milliseconds by Redis's clock. */
  readonly now: () => number;
  readonly deadlineOf: (job: QueuedJob) => Deadline;
  /** The deadline of a job has passed in the backlog. */
  readonly onDeadline: (job: QueuedJob) => Promise<void>;
}

/** Jobs that are read in one go: nothing else happens in this process while they are worked through. */
const READ_CHUNK = 100;
/** Ids that are compared in one go by a full look. */
const LOOK_CHUNK = 1_000;
/** A full look leaves Redis alone for this long after each chunk, in milliseconds. */
const LOOK_PAUSE_MS = 10;
/** A full look is repeated until it finds nothing new, since jobs move while it goes on; this often at the most. */
const MAX_PASSES = 3;
/** A job that a worker is on has its deadline kept by that worker; it is looked at again after this, in milliseconds. */
const TAKEN_RECHECK_MS = 2_000;
/** A last poll that was due while no process ran is left to the worker that fetches the job; looked at again after this, ms. */
const OWED_RECHECK_MS = 60_000;

/**
 * Keeps the deadlines of all jobs of a queue in a sorted set of Redis, and ends the jobs whose deadline passes in the backlog:
 * waiting, prioritized, in a paused queue, delayed by their producer, parked and not fetched, or the parent of a flow. Only the
 * housekeeper does so; a job that a worker is on is ended by that worker.
 */
export class DeadlineWatch {
  readonly #options: DeadlineWatchOptions;
  /** Redis key of the sorted set: BullMQ job ids by deadline. */
  readonly key: string;
  #nextDue = Number.POSITIVE_INFINITY;

  constructor(options: DeadlineWatchOptions) {
    this.#options = options;
    this.key = options.key('cfw:deadlines');
  }

  /** When the first deadline known at the last look is, in epoch milliseconds. */
  get nextDue(): number {
    return this.#nextDue;
  }

  /** @param firstDeadline of the sorted set. */
  looked(firstDeadline: number): void {
    this.#nextDue = firstDeadline;
  }

  /** Adds jobs by their ids; those that have ended or are gone are passed over. */
  async add(ids: readonly string[]): Promise<void> {
    const { redis, key, now, deadlineOf } = this.#options;
    for (let from = 0; from < ids.length; from += READ_CHUNK) {
      const members: (string | number)[] = [];
      for (const job of await readQueued(redis, key, ids.slice(from, from + READ_CHUNK), now())) {
        if (job === undefined) continue;
        const { at } = deadlineOf(job);
        members.push(at, job.queueJobId);
        this.#nextDue = Math.min(this.#nextDue, at);
      }
      if (members.length > 0) await redis.zadd(this.key, ...members);
    }
  }

  /** For a job that has left the queue. */
  async remove(id: string): Promise<void> {
    await this.#options.redis.zrem(this.key, id);
  }

  /**
   * Ends the jobs in the backlog whose deadline has passed.
   *
   * @param watchedSince since when processes have watched the queue without a gap: a last poll that was due before is still owed.
   */
  async endOverdue(watchedSince: number): Promise<void> {
    const { redis, key, now } = this.#options;
    while (this.#nextDue <= now()) {
      const ids = await redis.zrangebyscore(this.key, '-inf', Math.floor(now()), 'LIMIT', 0, READ_CHUNK);
      const jobs = await readQueued(redis, key, ids, now());
      await Promise.all(ids.map((id, index) => this.#end(id, jobs[index], watchedSince)));
      if (ids.length === READ_CHUNK) continue;
      const [, first] = await redis.zrange(this.key, '0', '0', 'WITHSCORES');
      this.#nextDue = first === undefined ? Number.POSITIVE_INFINITY : Number(first);
      return;
    }
  }

  /** Adds all jobs of the queue whose deadlines are not known. @returns how long that took, in milliseconds. */
  async fullLook(signal: AbortSignal): Promise<number> {
    const begunAt = performance.now();
    for (let pass = 0; pass < MAX_PASSES && !signal.aborted; pass += 1) {
      if ((await this.#pass(signal)) === 0) break;
    }
    return performance.now() - begunAt;
  }

  async #end(id: string, job: QueuedJob | undefined, watchedSince: number): Promise<void> {
    const { redis, now, deadlineOf, onDeadline } = this.#options;
    const later = async (ms: number) => void (await redis.zadd(this.key, 'XX', now() + ms, id));
    if (job?.isTaken) return await later(TAKEN_RECHECK_MS);
    if (job !== undefined) {
      const { at, lastPollAt } = deadlineOf(job);
      // Its deadline is another one by now: a job that was enqueued again under the same id.
      if (at > now()) return await later(at - now());
      if (lastPollAt < watchedSince) return await later(OWED_RECHECK_MS);
      await onDeadline(job);
    }
    await this.remove(id);
  }

  /** @returns how many were added. */
  async #pass(signal: AbortSignal): Promise<number> {
    const { redis, key } = this.#options;
    const sources = [
      (from: number, to: number) => redis.zrange(key('delayed'), `${from}`, `${to}`),
      (from: number, to: number) => redis.zrange(key('prioritized'), `${from}`, `${to}`),
      // Parents of flows, which are withheld until their children have ended.
      (from: number, to: number) => redis.zrange(key('waiting-children'), `${from}`, `${to}`),
      (from: number, to: number) => redis.lrange(key('wait'), `${from}`, `${to}`),
      (from: number, to: number) => redis.lrange(key('active'), `${from}`, `${to}`),
    ];
    let added = 0;
    for (const read of sources) {
      for (let from = 0; !signal.aborted; from += LOOK_CHUNK) {
        const ids = await read(from, from + LOOK_CHUNK - 1);
        if (ids.length === 0) break;
        const known = await redis.zmscore(this.key, ...ids);
        const unknown = ids.filter((_, index) => known[index] === null);
        await this.add(unknown);
        added += unknown.length;
        if (ids.length < LOOK_CHUNK) break;
        await sleep(LOOK_PAUSE_MS);
      }
    }
    return added;
  }
}
