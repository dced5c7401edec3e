/** A call that begins late by up to this may be made up for, so that timers' lateness costs no rate; in milliseconds. */
const CATCH_UP_MS = 15;

/** The right to one call, from a time on. */
export interface Turn {
  /** By `performance.now()`. */
  readonly at: number;
}

/**
 * Spaces the calls of this process within its share of the rate, by the monotonic clock: no command for a turn, none for a
 * refusal. A share ends by itself, so that it can go to others when this process is dead or blocked.
 */
export class Pacer {
  /** Calls a second; infinite if there is no limit. */
  #rate = 0;
  #validUntil = 0;
  #nextAt = 0;
  /** Turns taken, and whether one was refused, since the last report. */
  #taken = 0;
  #refused = false;

  /**
   * Sets the share.
   *
   * @param rate calls a second; `Infinity` for no limit.
   * @param validUntil the end of the share, by `performance.now()`.
   */
  grant(rate: number, validUntil: number): void {
    const now = performance.now();
    if (rate > 0 && rate !== this.#rate) {
      // The next call keeps its distance to the last one, by the new rate.
      const lastAt = this.#nextAt - interval(this.#rate);
      this.#nextAt = Number.isFinite(lastAt) ? Math.max(lastAt + interval(rate), now - CATCH_UP_MS) : now;
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
    this.#nextAt = Math.max(this.#nextAt, now - CATCH_UP_MS) + interval(this.#rate);
    this.#taken += 1;
    return { at };
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

  /** Whether a turn was refused since the last report. */
  get isShort(): boolean {
    return this.#refused;
  }

  #nextTurn(): number {
    const now = performance.now();
    if (this.#rate === Number.POSITIVE_INFINITY) return now;
    const at = Math.max(this.#nextAt, now);
    return this.#rate > 0 && at < this.#validUntil ? at : Number.POSITIVE_INFINITY;
  }
}

const interval = (rate: number) => 1_000 / rate;
