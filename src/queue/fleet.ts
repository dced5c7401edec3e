import { readFileSync } from 'node:fs';
import { defineScript, type RedisClient } from '../redis/index.js';
import type { RedisClock } from './clock.js';
import type { Pacer, Rhythm } from './pacer.js';

/** How often a process speaks, in milliseconds; more often while it has fewer calls than it could make, and shares change. */
const SPEAK_MS = 1_000;
const SPEAK_WHEN_SHORT_MS = 500;
/** A share, and the lease of the housekeeper, end so long after the process spoke last, in milliseconds. */
export const LEASE_MS = 2_000;
/** Calls are made together that are due within this, in milliseconds: a sliding second has up to 3 % more calls by that. */
const SLOT_MS = 30;
/** A process calls in one of so many slots at least: its share ends soon. */
const MAX_SLOTS = 20;
/** A connection on which no answer comes for so many seconds is dead, though it looks well. */
const DEAD_AFTER_S = 10;

/** What one answer brings. */
export interface FleetAnswer {
  /** Whether this process is the housekeeper until its lease ends. */
  readonly isHousekeeper: boolean;
  /** What the housekeeper found last, as it wrote it; empty if this process is the housekeeper or none has looked yet. */
  readonly found: string;
  /** BullMQ's counter of added jobs, if this process is the housekeeper; empty before the first job. */
  readonly counter: string;
}

export interface FleetOptions {
  readonly redis: RedisClient;
  /** Redis key of the hash that the processes share. */
  readonly key: string;
  /** Redis key of BullMQ's counter of added jobs. */
  readonly counterKey: string;
  /** Names this process; the pid does not, since it is 1 in every container. */
  readonly id: string;
  /** Calls a second over all processes; 0 for no limit. */
  readonly ratePerSecond: number;
  readonly clock: RedisClock;
  readonly pacer: Pacer;
  /** Runs after each answer, before the next word; what it resolves to is written for the others. */
  readonly onAnswer: (answer: FleetAnswer) => Promise<string | undefined>;
  readonly onError: (error: unknown) => void;
}

/**
 * The processes that work on one queue. Each speaks once a second, by one script: it asks for its share of the rate and for the
 * lease of the housekeeper, and hears Redis's time and what the housekeeper found.
 */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #speak: ReturnType<typeof defineScript<[number, number, number, number, number, string, string]>>;
  readonly #stop = new AbortController();
  #found = '';
  #size = 1;
  /** Calls a second, as of the last answer, and whether that was as before. */
  #share = 0;
  #isSettled = false;
  /** Whether it could have made more calls before its last word. */
  #isShort = false;
  #isWaiting = false;
  #silentS = 0;
  #answeredAt = performance.now();
  #spokeAt = performance.now();
  #wake: (() => void) | undefined;
  #alarm: NodeJS.Timeout | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: FleetOptions) {
    this.#options = options;
    const lua = readFileSync(new URL('./fleet.lua', import.meta.url), 'utf8');
    this.#speak = defineScript(options.redis, 'cfwFleet', 2, lua);
    if (options.ratePerSecond === 0) options.pacer.grant(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  }

  start(): void {
    this.#alarm = setInterval(() => this.#lookForDeadConnection(), 1_000).unref();
    this.#ended = this.#run();
  }

  /** Processes that have spoken lately, this one included. */
  get size(): number {
    return this.#size;
  }

  /** Speaks soon, since the share is too small. */
  hurry(): void {
    this.#wake?.();
  }

  /** Gives the share and the lease back. Resolves once Redis has answered, or cannot. */
  async leave(): Promise<void> {
    clearInterval(this.#alarm);
    this.#stop.abort();
    this.#wake?.();
    await this.#ended;
    const { key, counterKey, id, ratePerSecond } = this.#options;
    await this.#speak(key, counterKey, id, -1, ratePerSecond, LEASE_MS, '').catch(() => {});
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#speakOnce().catch((error) => {
        if (!signal.aborted) this.#options.onError(error);
      });
      await this.#pause(this.#isShort && !this.#isSettled ? SPEAK_WHEN_SHORT_MS : SPEAK_MS);
    }
  }

  async #speakOnce(): Promise<void> {
    const { key, counterKey, id, ratePerSecond, clock, pacer, onAnswer } = this.#options;
    const { taken, refused } = pacer.report();
    const sentAt = performance.now();
    // What it used, with room to grow; all that there is if it could have made more calls.
    const used = (taken * 1_000) / Math.max(SPEAK_WHEN_SHORT_MS / 2, sentAt - this.#spokeAt);
    const want = refused ? ratePerSecond : Math.min(ratePerSecond, Math.ceil(used * 1.25) + 1);
    this.#spokeAt = sentAt;
    this.#isShort = refused;
    const [micros, share, isHousekeeper, size, place, found, counter] = await this.#answer(
      this.#speak(key, counterKey, id, want, ratePerSecond, LEASE_MS, this.#found),
    );
    clock.measured(micros / 1_000, sentAt);
    // Redis counted the lease from a later moment, so this end comes first.
    if (ratePerSecond > 0) pacer.grant(share, sentAt + LEASE_MS, this.#rhythm(share, place));
    this.#isSettled = size === this.#size && share === this.#share && share > 0;
    this.#size = size;
    this.#share = share;
    this.#found = (await onAnswer({ isHousekeeper: isHousekeeper === 1, found, counter })) ?? '';
  }

  /**
   * Redis's time is cut into slots. A process whose share is a tenth of the limit calls in each tenth slot, so that all processes
   * together call as evenly as one would.
   *
   * @param place of this process among all.
   */
  #rhythm(share: number, place: number): Rhythm | undefined {
    const { ratePerSecond, clock } = this.#options;
    if (share === 0 || (ratePerSecond * SLOT_MS) / 1_000 < 2) return undefined;
    const slots = Math.min(MAX_SLOTS, Math.round(ratePerSecond / share));
    const at = performance.now() - clock.now() + (place % slots) * SLOT_MS;
    return { periodMs: slots * SLOT_MS, at };
  }

  /** Waits until the next word is due, or until it is asked to hurry and a quarter of a second has passed. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return;
    const soonAt = performance.now() + SPEAK_WHEN_SHORT_MS / 2;
    await new Promise<void>((resolve) => {
      let timer = setTimeout(resolve, ms).unref();
      this.#wake = () => {
        clearTimeout(timer);
        timer = setTimeout(resolve, signal.aborted ? 0 : soonAt - performance.now()).unref();
      };
    });
    this.#wake = undefined;
  }

  /** Any answer shows that the connection is alive. */
  async #answer<T>(answer: Promise<T>): Promise<T> {
    this.#isWaiting = true;
    return await answer.finally(() => {
      this.#isWaiting = false;
      this.#silentS = 0;
      this.#answeredAt = performance.now();
    });
  }

  /**
   * The other end of a connection can be gone without a word; commands then wait for ever. It counts its own rounds rather than
   * seconds, since a process that was suspended must not blame Redis.
   */
  #lookForDeadConnection(): void {
    const { redis, key, onError } = this.#options;
    if (redis.status !== 'ready') return;
    if (!this.#isWaiting) {
      // The housekeeper waits for Redis between two words: that can be for ever, too.
      if (performance.now() - this.#answeredAt > 2 * SPEAK_MS) void this.#answer(redis.exists(key)).catch(() => {});
      return;
    }
    this.#silentS += 1;
    if (this.#silentS < DEAD_AFTER_S) return;
    this.#silentS = 0;
    onError(new Error(`Redis has not answered for ${DEAD_AFTER_S} s; reconnecting`));
    redis.disconnect(true);
  }
}
