import { readFileSync } from 'node:fs';
import type { Deadline } from '../polling/index.js';
import type { RedisClient } from '../redis/index.js';
import { type QueuedJob, readQueued } from './queued.js';
import { repeat } from './repeat.js';

/** What the timekeeper needs. */
export interface TimekeeperOptions {
  readonly redis: RedisClient;
  /** Names a key of the BullMQ queue, such as `wait`. */
  readonly key: (name: string) => string;
  readonly deadlineOf: (job: QueuedJob) => Deadline;
  /** A job's deadline has passed while it stood in line. */
  readonly onDeadline: (job: QueuedJob) => Promise<void>;
  /** Told after each look. */
  readonly onLook?: (line: Line) => void;
  readonly onError: (error: unknown) => void;
}

/** How the line of jobs that are due stands. */
export interface Line {
  /** How long the job that has been due for longest has waited, in milliseconds; 0 where none is due. */
  readonly overdueMs: number;
  /** Jobs that wait to be fetched. */
  readonly waiting: number;
  /** Whether BullMQ's queue is paused. */
  readonly paused: boolean;
  /** What the limiter stands at: calls in this window, or a number beyond all limits during a hold-back. */
  readonly limiter: number;
}

/** Deadlines are kept to this, in milliseconds. */
const LOOK_MS = 250;
/** Where no look has succeeded for so long, we cannot say that a job was watched all the time. */
const GAP_MS = 2_000;
/** A connection on which nothing comes back for so many seconds is dead, though it looks well. */
const DEAD_AFTER_S = 10;
/** All waiting jobs are looked through this often, in milliseconds; else only those that came since. */
const FULL_LOOK_MS = 60_000;
/** Ids that are asked for in one command. */
const CHUNK = 500;
/** Jobs that are read in one go: nothing else happens in this process while they are worked through. */
const READ_CHUNK = 50;

interface WithUnseenDelayed {
  cfwUnseenDelayed(delayed: string, prefix: string, from: number, to: number): Promise<[number, ...string[]]>;
}

/**
 * Ends jobs at their deadlines that stand in line: behind a saturated limiter, in a hold-back, in a paused queue, or since
 * their producer delayed them. Jobs that a worker is on need none of this.
 *
 * It takes no job and no token. It learns deadlines by looking at what has joined the line since it last looked, and keeps
 * them to itself: each process does the same, and an event is published once however many publish it.
 */
export class Timekeeper {
  readonly #options: TimekeeperOptions;
  readonly #stop = new AbortController();
  /** Jobs that were seen in line, until their deadlines. */
  readonly #known = new Set<string>();
  /** Their ids, by deadline in units of LOOK_MS. */
  readonly #due = new Map<number, string[]>();
  /** Deadlines before this one have been dealt with. */
  #nextDue = Math.floor(Date.now() / LOOK_MS);
  /** The newest job in line at the last look. */
  #head: string | undefined;
  readonly #alarm: NodeJS.Timeout;
  #silentFor = 0;
  #fullLookAt = 0;
  #delayedRank = 0;
  #lookedAt = 0;
  #watchingSince = 0;
  #line: Line = { overdueMs: 0, waiting: 0, paused: false, limiter: 0 };

  constructor(options: TimekeeperOptions) {
    this.#options = options;
    const lua = readFileSync(new URL('./unseen-delayed.lua', import.meta.url), 'utf8');
    options.redis.defineCommand('cfwUnseenDelayed', { numberOfKeys: 1, lua });
    void repeat(() => this.#look(), LOOK_MS, this.#stop.signal, options.onError);
    this.#alarm = setInterval(() => this.#lookForDeadConnection(), 1_000).unref();
  }

  /** How the line stood at the last look, some hundred milliseconds ago. */
  get line(): Line {
    return this.#line;
  }

  stop(): void {
    this.#stop.abort();
    clearInterval(this.#alarm);
  }

  /**
   * The other end of a connection can be gone without a word; commands then wait for ever. It counts calls rather than
   * seconds, since a process that was suspended must not blame Redis.
   */
  #lookForDeadConnection(): void {
    const { redis, onError } = this.#options;
    this.#silentFor += 1;
    if (this.#silentFor < DEAD_AFTER_S || redis.status !== 'ready') return;
    this.#silentFor = 0;
    onError(new Error(`Redis has not answered for ${DEAD_AFTER_S} s; connecting anew`));
    redis.disconnect(true);
  }

  async #look(): Promise<void> {
    const begun = Date.now();
    await this.#lookAtLine();
    const joined = [...(await this.#joined()), ...(await this.#delayedByProducers())];
    await this.#learnDeadlines(joined.filter((id) => !this.#known.has(id)));
    if (begun - this.#lookedAt > GAP_MS) this.#watchingSince = begun;
    this.#lookedAt = begun;
    this.#silentFor = 0;
    await this.#endOverdue(begun);
    this.#options.onLook?.(this.#line);
  }

  async #lookAtLine(): Promise<void> {
    const { redis, key } = this.#options;
    const answers = await redis
      .pipeline()
      .lindex(key('wait'), -1)
      .zrange(key('delayed'), '0', '0', 'WITHSCORES')
      .llen(key('wait'))
      .zcard(key('prioritized'))
      .hexists(key('meta'), 'paused')
      .get(key('limiter'))
      .exec();
    const [oldest, [, score] = [], waiting, prioritized, paused, limiter] = (answers ?? []).map(([error, answer]) => {
      if (error !== null) throw error;
      return answer;
    }) as [string | null, [string?, string?], number, number, number, string | null];
    const [job] = oldest === null ? [] : await readQueued(redis, key, [oldest]);
    const now = Date.now();
    // A delayed job that is due has to be fetched, too; BullMQ scores it by 4096 times its due time.
    const dueAt = Math.min(job?.dueAt ?? now, score === undefined ? now : Number(score) / 4_096);
    this.#line = {
      overdueMs: Math.max(0, Math.round(now - dueAt)),
      waiting: waiting + prioritized,
      paused: paused === 1,
      limiter: Number(limiter ?? 0),
    };
  }

  /** Jobs that have joined the line since the last look: BullMQ adds on the left and takes from the right. */
  async #joined(): Promise<string[]> {
    const { redis, key } = this.#options;
    const full = Date.now() - this.#fullLookAt >= FULL_LOOK_MS;
    if (full) this.#fullLookAt = Date.now();
    const joined: string[] = [];
    let head: string | undefined;
    for (let from = 0; !this.#stop.signal.aborted; from += CHUNK) {
      const ids = await redis.lrange(key('wait'), from, from + CHUNK - 1);
      if (from === 0) head = ids[0];
      const seen = full || this.#head === undefined ? -1 : ids.indexOf(this.#head);
      joined.push(...(seen === -1 ? ids : ids.slice(0, seen)));
      if (seen !== -1 || ids.length < CHUNK) break;
    }
    this.#head = head;
    if (head === undefined) {
      // Nobody is in line; those that a producer has delayed are soon found again.
      this.#known.clear();
      this.#due.clear();
    }
    if (full) joined.push(...(await redis.zrange(key('prioritized'), '0', '-1')));
    return joined;
  }

  /** Goes through the delayed jobs part by part; those that a worker has parked are not of interest, since it sees to them. */
  async #delayedByProducers(): Promise<string[]> {
    const { redis, key } = this.#options;
    const [count, ...ids] = await (redis as unknown as WithUnseenDelayed).cfwUnseenDelayed(
      key('delayed'),
      key(''),
      this.#delayedRank,
      this.#delayedRank + CHUNK - 1,
    );
    this.#delayedRank = count < CHUNK ? 0 : this.#delayedRank + CHUNK;
    return ids;
  }

  async #learnDeadlines(ids: readonly string[]): Promise<void> {
    const { redis, key, deadlineOf } = this.#options;
    for (let from = 0; from < ids.length; from += READ_CHUNK) {
      const chunk = ids.slice(from, from + READ_CHUNK);
      for (const job of await readQueued(redis, key, chunk)) {
        if (job === undefined) continue;
        this.#known.add(job.queueJobId);
        const due = Math.max(Math.ceil(deadlineOf(job).at / LOOK_MS), this.#nextDue);
        const others = this.#due.get(due);
        if (others === undefined) this.#due.set(due, [job.queueJobId]);
        else others.push(job.queueJobId);
      }
    }
  }

  async #endOverdue(now: number): Promise<void> {
    const { redis, key, deadlineOf, onDeadline } = this.#options;
    for (; this.#nextDue * LOOK_MS <= now; this.#nextDue += 1) {
      const ids = this.#due.get(this.#nextDue) ?? [];
      for (let from = 0; from < ids.length; from += READ_CHUNK) {
        const jobs = await readQueued(redis, key, ids.slice(from, from + READ_CHUNK));
        await Promise.all(
          jobs.map(async (job) => {
            if (job === undefined || job.isTaken) return;
            // A last poll that was due while nobody watched is still owed; whoever fetches the job makes it.
            if (deadlineOf(job).lastPollAt < this.#watchingSince) return;
            await onDeadline(job);
          }),
        );
      }
      // Only now: after an error they are dealt with again.
      for (const id of ids) this.#known.delete(id);
      this.#due.delete(this.#nextDue);
    }
  }
}
