/** Samples are trusted for this long, in milliseconds; then a less exact one replaces them. */
const MAX_AGE_MS = 60_000;

interface Sample {
  /** Redis's time minus the monotonic clock, in milliseconds. */
  readonly offset: number;
  /** The offset is right to within this, in milliseconds. */
  readonly error: number;
  /** When it was taken, by the monotonic clock. */
  readonly at: number;
}

/**
 * Redis's clock, as this process knows it: its distance to the monotonic clock is measured each second, and time goes on by
 * the monotonic clock. The machine's own clock may be wrong and may jump, and nothing is due earlier or later by it.
 */
export class RedisClock {
  #sample: Sample = { offset: Date.now() - performance.now(), error: Number.POSITIVE_INFINITY, at: 0 };

  /** Epoch milliseconds by Redis's clock; by the machine's clock until Redis was asked for the first time. */
  readonly now = (): number => performance.now() + this.#sample.offset;

  /** How far the machine's clock is ahead of Redis's just now, in milliseconds. */
  get machineAheadMs(): number {
    return Date.now() - this.now();
  }

  /**
   * Takes note of what Redis answered to TIME.
   *
   * @param sentAt when Redis was asked, by `performance.now()`.
   */
  measured(redisMs: number, sentAt: number): void {
    const at = performance.now();
    const error = (at - sentAt) / 2;
    const offset = redisMs - (sentAt + error);
    const current = this.#sample;
    // Beyond what both can be wrong by, Redis's clock was set: a failover, a suspended host.
    const jumped = Math.abs(offset - current.offset) > error + current.error + 1;
    if (error <= current.error || jumped || at - current.at > MAX_AGE_MS) this.#sample = { offset, error, at };
  }
}
