import { readFileSync } from 'node:fs';
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
/** A due job is fetched within this, in milliseconds. */
const FETCH_MS = 100;
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

export interface CallsOptions extends Pick<JobWorkerOptions, 'redis' | 'poll' | 'events'> {
  readonly pacer: Pacer;
  /** Names a key of the BullMQ queue. */
  readonly key: (name: string) => string;
  /** Epoch milliseconds by Redis's clock. */
  readonly now: () => number;
  /** Ends all calls. */
  readonly cut: AbortSignal;
  /** The share of the rate is too small. */
  readonly onShort: () => void;
}

/** Calls to CFW: a few at a time in this process, and as many a second as its share of the rate. */
export class Calls {
  readonly #options: CallsOptions;
  readonly #pacer: Pacer;
  readonly #admit: ReturnType<typeof defineScript<number>>;
  readonly #coolDown: ReturnType<typeof defineScript<null>>;
  readonly #places = pLimit(MAX_CALLS);
  #scarceUntil = 0;
  #coolUntil = 0;
  #coolSeenAt = 0;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#pacer = options.pacer;
    const admit = readFileSync(new URL('./admit.lua', import.meta.url), 'utf8');
    this.#admit = defineScript(options.redis, 'cfwAdmit', 5, admit);
    const coolDown = readFileSync(new URL('./cool-down.lua', import.meta.url), 'utf8');
    this.#coolDown = defineScript(options.redis, 'cfwCoolDown', 1, coolDown);
  }

  /**
   * Asks CFW about a job once there is a turn and a place for it.
   *
   * @returns undefined if no call could be made: there was no turn, a cool-down has begun, or the job's time ran out.
   */
  async make(job: PollJob, { turn: given, maxMs, onBegin, isOver }: CallOptions): Promise<PollAnswer | undefined> {
    const { poll, cut } = this.#options;
    const askedAt = performance.now();
    const turn = given ?? this.#pacer.take(Math.min(MAX_TURN_WAIT_MS, maxMs));
    if (turn === undefined) {
      this.limited('held');
      return undefined;
    }
    await this.#pacer.wait(turn);
    const answer = await this.#places(async () => {
      const now = performance.now();
      if (isOver() || now < this.#coolUntil || cut.aborted) return undefined;
      onBegin();
      return await poll(job, cut, Math.max(1, maxMs - (now - askedAt)));
    });
    if (answer === undefined || answer.kind === 'withheld') this.#pacer.giveBack();
    else if (answer.kind !== 'job') this.#obeyThrottle(answer);
    return answer;
  }

  /**
   * Whether a held job may make a further call now. Jobs in the backlog come first, and a cool-down that another process has
   * begun is seen at once.
   *
   * @returns its turn; undefined sends the job to the backlog.
   */
  async admit(): Promise<Turn | undefined> {
    const { key, now } = this.#options;
    const turn = this.#pacer.take(HELD_TURN_WAIT_MS);
    if (turn !== undefined) {
      const keys = ['wait', 'prioritized', 'meta', 'limiter', 'delayed'].map(key);
      // A job that became due this very moment is about to be fetched.
      const refused = await this.#admit(...keys, Math.round(now()) - FETCH_MS, COOL_DOWN);
      if (refused === 0) return turn;
      this.#pacer.giveBack();
      if (refused > 0) this.coolDownSeen(refused);
    }
    this.limited('held');
    return undefined;
  }

  /** A cool-down that was found in Redis. */
  coolDownSeen(ms: number): void {
    this.#coolSeenAt = performance.now();
    this.#coolUntil = Math.max(this.#coolUntil, this.#coolSeenAt + ms);
  }

  /** A job was fetched, so there is no cool-down in Redis: a person may have ended it. */
  fetched(): void {
    // One that began a moment ago may not have been there yet.
    if (performance.now() - this.#coolSeenAt > COOL_DOWN_MS) this.#coolUntil = 0;
  }

  /** The rate lets no call through just now. */
  limited(what: 'fetch' | 'held'): void {
    this.#scarce(SCARCE_MS);
    this.#options.events.emit('limited', what);
    if (this.#pacer.waitMs > MAX_TURN_WAIT_MS) this.#options.onShort();
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
    this.#coolDown(this.#options.key('limiter'), ms, COOL_DOWN).catch((error) =>
      this.#options.events.emit('error', error, undefined),
    );
  }
}
