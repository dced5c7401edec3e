import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { PollAnswer } from '../polling/index.js';
import { defineScript } from '../redis/index.js';
import type { PollJob } from './job.js';
import type { Pacer, Turn } from './pacer.js';
import type { JobWorkerOptions } from './worker-options.js';

/**
 * Calls that one process has under way at the same time. Answers that arrive together are worked on together, and nothing else
 * is meanwhile: this bounds how long that takes. It is enough for several hundred calls a second at a tenth of a second each.
 */
export const MAX_CALLS = 48;
/** A job that was fetched without a turn waits for one for up to this, in milliseconds; then others may have it. */
const MAX_TURN_WAIT_MS = 1_000;
/** A held job waits for its next turn for up to this, in milliseconds; then it goes to the backlog. */
const HELD_TURN_WAIT_MS = 50;
/** After a turn was refused, calls count as scarce for this long, in milliseconds. */
const SCARCE_MS = 1_000;
/** The cool-down after a 429 that names none, in milliseconds: the gateway's shortest window. */
const COOL_DOWN_MS = 1_000;
/** What BullMQ's rate-limit key holds during a cool-down; far beyond what it can count up to. */
export const COOL_DOWN = 1e15;

/** What a call needs beside the job. */
export interface CallOptions {
  /** The turn that came with the job, if one did. */
  readonly turn: Turn | undefined;
  /** The longest that all this may take, in milliseconds, the wait for its turn included. */
  readonly maxMs: number;
  /** Runs when the call begins. */
  readonly onBegin: () => void;
  /** Whether the job's time has run out meanwhile: no call is made then. */
  readonly isOver: () => boolean;
}

/** Calls to CFW: a few at a time in this process, and as many a second as its share of the rate. */
export class Calls {
  readonly #options: Pick<JobWorkerOptions, 'redis' | 'poll' | 'events'>;
  readonly #pacer: Pacer;
  readonly #rateLimitKey: string;
  readonly #coolDown: ReturnType<typeof defineScript<null>>;
  readonly #places = pLimit(MAX_CALLS);
  readonly #cut: AbortSignal;
  readonly #onShort: () => void;
  #scarceUntil = 0;
  #coolUntil = 0;

  /**
   * @param rateLimitKey BullMQ's rate-limit key of the queue.
   * @param cut ends all calls.
   * @param onShort runs when the share of the rate is too small.
   */
  constructor(
    options: Pick<JobWorkerOptions, 'redis' | 'poll' | 'events'>,
    pacer: Pacer,
    rateLimitKey: string,
    cut: AbortSignal,
    onShort: () => void,
  ) {
    this.#options = options;
    this.#pacer = pacer;
    this.#rateLimitKey = rateLimitKey;
    this.#cut = cut;
    this.#onShort = onShort;
    const lua = readFileSync(new URL('./cool-down.lua', import.meta.url), 'utf8');
    this.#coolDown = defineScript(options.redis, 'cfwCoolDown', 1, lua);
  }

  /**
   * Asks CFW about a job once there is a turn and a place for it.
   *
   * @returns undefined if no call could be made: there was no turn, a cool-down has begun, or the job's time ran out.
   */
  async make(job: PollJob, { turn: given, maxMs, onBegin, isOver }: CallOptions): Promise<PollAnswer | undefined> {
    const askedAt = performance.now();
    const turn = given ?? this.#pacer.take(Math.min(MAX_TURN_WAIT_MS, maxMs));
    if (turn === undefined) {
      this.limited('held');
      return undefined;
    }
    const earlyMs = turn.at - askedAt;
    if (earlyMs >= 1) await sleep(earlyMs);
    const answer = await this.#places(async () => {
      const now = performance.now();
      if (isOver() || now < this.#coolUntil || this.#cut.aborted) return undefined;
      onBegin();
      return await this.#options.poll(job, this.#cut, Math.max(1, maxMs - (now - askedAt)));
    });
    if (answer === undefined || answer.kind === 'withheld') this.#pacer.giveBack();
    else if (answer.kind !== 'job') this.#obeyThrottle(answer);
    return answer;
  }

  /**
   * Whether a held job may make a further call now. A cool-down that another process has begun is seen at once.
   *
   * @returns its turn; undefined sends the job to the backlog.
   */
  async admit(): Promise<Turn | undefined> {
    const turn = this.#pacer.take(HELD_TURN_WAIT_MS);
    if (turn === undefined) {
      this.limited('held');
      return undefined;
    }
    const { redis } = this.#options;
    const coolDownMs =
      Number(await redis.get(this.#rateLimitKey)) >= COOL_DOWN ? await redis.pttl(this.#rateLimitKey) : 0;
    if (coolDownMs <= 0) return turn;
    this.#pacer.giveBack();
    this.coolDownSeen(coolDownMs);
    this.limited('held');
    return undefined;
  }

  /** A cool-down that was found in Redis. */
  coolDownSeen(ms: number): void {
    this.#coolUntil = Math.max(this.#coolUntil, performance.now() + ms);
  }

  /** The rate lets no call through just now. */
  limited(what: 'fetch' | 'held'): void {
    this.#scarce(SCARCE_MS);
    this.#options.events.emit('limited', what);
    if (this.#pacer.waitMs > MAX_TURN_WAIT_MS) this.#onShort();
  }

  /** Whether a turn was refused a moment ago: a held job would only have to go to the backlog after all. */
  get areScarce(): boolean {
    return performance.now() < this.#scarceUntil;
  }

  #scarce(forMs: number): void {
    this.#scarceUntil = Math.max(this.#scarceUntil, performance.now() + forMs);
  }

  /** A 429, or a 503 that says when to come back, concerns all jobs and all processes. */
  #obeyThrottle({ httpStatus, retryAfterMs }: Exclude<PollAnswer, { kind: 'job' }>): void {
    if (httpStatus !== 429 && (httpStatus !== 503 || retryAfterMs === undefined)) return;
    const ms = Math.ceil(retryAfterMs || COOL_DOWN_MS);
    this.#scarce(ms);
    this.coolDownSeen(ms);
    this.#coolDown(this.#rateLimitKey, ms, COOL_DOWN).catch((error) =>
      this.#options.events.emit('error', error, undefined),
    );
  }
}
