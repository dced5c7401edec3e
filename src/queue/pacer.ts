import { setTimeout as sleep } from 'node:timers/promises';

/** A call that begins late by up to this may be made up for, so that timers' lateness costs no rate; in milliseconds. */
const CATCH_UP_MS = 15;
/** A job that leaves brings the next one if that one's turn comes within this, in milliseconds, or in the next period. */
const REFILL_AHEAD_MS = 50;
/** After so long without an unused turn, calls are made together; in milliseconds. */
const FULL_MS = 1_000;

/** The right to one call, from a time on. */
export interface Turn {
  /** By `performance.now()`. */
  readonly at: number;
}

/** When the calls of a process are made that has more to do than its share allows. */
export interface Rhythm {
  /** Calls are made once in so many milliseconds. */
  readonly periodMs: number;
  /** One of these moments, by `performance.now()`. */
  readonly at: number;
}

/**
 * Spaces the calls of this process within its share of the rate, by the monotonic clock: no command for a turn, none for a
 * refusal. A share ends by itself, so that it can go to others when this process is dead or blocked.
 *
 * To wake up costs a process more than a call. So once there is more to do than the share allows, the calls of a period are made
 * together, as many as were due in it.
 */
export class Pacer {
  /** Calls a second; infinite if there is no limit. */
  #rate = 0;
  #validUntil = 0;
  #nextAt = 0;
  #rhythm: Rhythm | undefined;
  /** Since when no turn has passed unused, by `performance.now()`. */
  #fullSince = 0;
  /** Turns taken, and whether one was refused, since the last report. */
  #taken = 0;
  #refused = false;
  /** What waits for a moment, by `performance.now()`: one timer wakes all of it. */
  readonly #moments = new Map<number, Promise<void>>();
  readonly #stop = new AbortController();

  /**
   * Sets the share.
   *
   * @param rate calls a second; `Infinity` for no limit.
   * @param validUntil the end of the share, by `performance.now()`.
   * @param rhythm undefined if calls are never to be made together.
   */
  grant(rate: number, validUntil: number, rhythm?: Rhythm): void {
    const now = performance.now();
    this.#rhythm = rhythm;
    if (this.rate === 0) this.#fullSince = now;
    if (rate > 0 && rate !== this.#rate) {
      // The next call keeps its distance to the last one, by the new rate.
      const lastAt = this.#nextAt - interval(this.#rate);
      this.#nextAt = Number.isFinite(lastAt) ? Math.max(lastAt + interval(rate), this.#earliest(now)) : now;
    }
    this.#rate = rate;
    this.#validUntil = validUntil;
  }

  /** Calls a second that this process may make just now. */
  get rate(): number {
    return performance.now() < this.#validUntil ? this.#rate : 0;
  }

  /** How long until the next turn, in milliseconds; infinite without a share. */
  get waitMs(): number {
    return this.#nextTurn() - performance.now();
  }

  /**
   * Takes the next turn if it comes soon enough.
   *
   * @param withinMs how far ahead it may be, in milliseconds.
   */
  take(withinMs = 0): Turn | undefined {
    const at = this.#nextTurn();
    const now = performance.now();
    if (at - now > withinMs) {
      this.#refused = true;
      return undefined;
    }
    if (this.#nextAt < this.#earliest(now)) {
      // Turns have passed unused, and are not made up for: other processes would do so at the same moment.
      this.#fullSince = now;
      this.#nextAt = now - CATCH_UP_MS;
    }
    this.#nextAt += interval(this.#rate);
    this.#taken += 1;
    return { at };
  }

  /** Takes the next turn for a job that comes in the place of one that leaves, if that is soon. */
  takeForRefill(): Turn | undefined {
    const withinMs = REFILL_AHEAD_MS + (this.#beat(performance.now())?.periodMs ?? 0);
    return this.waitMs <= withinMs ? this.take(withinMs) : undefined;
  }

  /** Waits until a turn has come. Those of one moment come in one wake-up. */
  async wait({ at }: Turn): Promise<void> {
    if (at - performance.now() >= 1) await this.#moment(at);
  }

  /** Once calls are made together, waits for the next time that they are: what is to be written then costs no wake-up. */
  async beat(): Promise<void> {
    const now = performance.now();
    const beat = this.#beat(now);
    if (beat !== undefined) await this.#moment(nextBeat(beat, now));
  }

  /** Ends all waits, and those that are still to come. */
  stop(): void {
    this.#stop.abort();
  }

  /** For a turn that no call was made in. */
  giveBack(): void {
    if (this.#rate > 0) this.#nextAt -= interval(this.#rate);
    this.#taken -= 1;
  }

  /** A call could be made now, if there were a turn. */
  missed(): void {
    this.#refused = true;
  }

  /** What was wanted since the last time this was asked: the turns taken, and whether more would have been taken. */
  report(): { readonly taken: number; readonly refused: boolean } {
    const report = { taken: Math.max(0, this.#taken), refused: this.#refused };
    this.#taken = 0;
    this.#refused = false;
    return report;
  }

  #nextTurn(): number {
    const now = performance.now();
    if (this.#rate === Number.POSITIVE_INFINITY) return now;
    const beat = this.#beat(now);
    const at = Math.max(now, beat === undefined ? this.#nextAt : nextBeat(beat, this.#nextAt));
    return this.#rate > 0 && at < this.#validUntil ? at : Number.POSITIVE_INFINITY;
  }

  #moment(at: number): Promise<void> {
    const known = this.#moments.get(at);
    if (known !== undefined) return known;
    const moment = sleep(Math.ceil(at - performance.now()), undefined, { signal: this.#stop.signal })
      .catch(() => {})
      .finally(() => this.#moments.delete(at));
    this.#moments.set(at, moment);
    return moment;
  }

  /** The rhythm in which calls are made just now; undefined while each has a time of its own. */
  #beat(now: number): Rhythm | undefined {
    return now - this.#fullSince > FULL_MS ? this.#rhythm : undefined;
  }

  /** What was due before this has passed unused. Once calls are made together, that is what was for a beat before the last one. */
  #earliest(now: number): number {
    const earliest = now - CATCH_UP_MS;
    const beat = this.#beat(now);
    return beat === undefined ? earliest : nextBeat(beat, earliest) - beat.periodMs;
  }
}

const interval = (rate: number) => 1_000 / rate;

/** The first beat that does not come before a time. */
const nextBeat = ({ periodMs, at }: Rhythm, time: number) => at + Math.ceil((time - at) / periodMs) * periodMs;
