import { readFileSync } from 'node:fs';
import type { RedisClient } from '../redis/index.js';

/** So many jobs may be fetched in so many milliseconds: what BullMQ calls a limiter. */
export interface LimiterWindow {
  readonly max: number;
  /** Can be another one each time that it is read, as BullMQ does at each fetch: not to be copied. */
  readonly duration: number;
}

/** The share of a second's calls that one window may hold: a sliding second touches one window more than it holds. */
const WINDOW_SHARE = 0.045;
/**
 * Redis ends a window in the millisecond after its last one, and the next window begins when a process asks, which is about
 * half a millisecond after that (`npm run bench limiter`).
 */
const BETWEEN_WINDOWS_MS = 1.5;
/** What BullMQ's limiter holds while nobody may fetch; far beyond what any window can count up to. */
const HOLD_BACK = 1e15;

/**
 * Cuts a rate into many small windows. One window a second would let twice its calls go out within a second: at the end
 * of one window and at the beginning of the next.
 *
 * Windows are whole milliseconds long, which few rates come out at; each is rounded up or down by chance, so that they are
 * right on average.
 *
 * @param ratePerSecond calls a second over all processes; 0 for no limit.
 */
export function limiterWindow(ratePerSecond: number): LimiterWindow {
  // BullMQ heeds a hold-back only where there is a limit.
  if (ratePerSecond === 0) return { max: HOLD_BACK, duration: 1_000 };
  const max = Math.max(1, Math.floor(ratePerSecond * WINDOW_SHARE));
  const durationMs = (max * 1_000) / ratePerSecond - BETWEEN_WINDOWS_MS;
  return {
    max,
    get duration() {
      return Math.floor(durationMs + Math.random());
    },
  };
}

/** ioredis adds scripts as methods, which its types cannot know. */
interface WithScripts {
  cfwTakeToken(...keysAndArgs: (string | number)[]): Promise<number>;
  cfwGiveBackToken(limiter: string, holdBack: number): Promise<null>;
  cfwHoldBack(limiter: string, milliseconds: number, holdBack: number): Promise<null>;
}

/**
 * The one limit on calls to CFW, over all processes of a queue. BullMQ gates the fetching of jobs by it: one job fetched is
 * one token is one call. What is here is for calls beyond that first one, from the same key.
 */
export class CallLimiter {
  readonly window: LimiterWindow;
  readonly #redis: WithScripts;
  readonly #key: (name: string) => string;

  /** @param key names a key of the BullMQ queue, such as `limiter`. */
  constructor(redis: RedisClient, key: (name: string) => string, ratePerSecond: number) {
    this.window = limiterWindow(ratePerSecond);
    this.#key = key;
    redis.defineCommand('cfwTakeToken', {
      numberOfKeys: 5,
      lua: readFileSync(new URL('./take-token.lua', import.meta.url), 'utf8'),
    });
    redis.defineCommand('cfwGiveBackToken', {
      numberOfKeys: 1,
      lua: readFileSync(new URL('./give-back-token.lua', import.meta.url), 'utf8'),
    });
    redis.defineCommand('cfwHoldBack', {
      numberOfKeys: 1,
      lua: readFileSync(new URL('./hold-back.lua', import.meta.url), 'utf8'),
    });
    this.#redis = redis as unknown as WithScripts;
  }

  /** Takes a token for a further call of a job that is held; false where it has to stand in line. */
  async take(): Promise<boolean> {
    const keys = ['limiter', 'wait', 'prioritized', 'delayed', 'meta'].map(this.#key);
    const { max, duration } = this.window;
    // A job that became due this very moment is about to be fetched: that is no line to stand in.
    const dueBefore = Date.now() - 100;
    return (await this.#redis.cfwTakeToken(...keys, max, duration, dueBefore)) === 1;
  }

  /** Gives a token back for which no call was made. */
  async giveBack(): Promise<void> {
    await this.#redis.cfwGiveBackToken(this.#key('limiter'), HOLD_BACK);
  }

  /** Makes all processes hold back for at least so long: CFW has said that it is asked too often. */
  async holdBack(milliseconds: number): Promise<void> {
    await this.#redis.cfwHoldBack(this.#key('limiter'), Math.ceil(milliseconds), HOLD_BACK);
  }
}
