import type { Backlog } from './housekeeper.js';

/** When jobs have been due for so long, may be fetched, and none is, something is stuck; in milliseconds. */
const STUCK_MS = 10_000;

/**
 * BullMQ users have seen workers that looked connected and took no jobs. It acts when jobs are due and may be fetched, there
 * is room, and none is taken for long.
 */
export class Watchdog {
  readonly #mayTake: () => boolean;
  readonly #onStuck: () => void;
  /** When a job was taken last, or something stood in the way of taking one; by `performance.now()`. */
  #unstuckAt = performance.now();

  /** @param mayTake whether this process has room for a job and a share of the rate. */
  constructor(mayTake: () => boolean, onStuck: () => void) {
    this.#mayTake = mayTake;
    this.#onStuck = onStuck;
  }

  /** For how long no job was taken though one could have been, in milliseconds. */
  get stuckMs(): number {
    return performance.now() - this.#unstuckAt;
  }

  /** A job was taken. */
  taken(): void {
    this.#unstuckAt = performance.now();
  }

  look({ overdueMs, paused, coolingDown }: Backlog): void {
    if (overdueMs === 0 || paused || coolingDown || !this.#mayTake()) this.#unstuckAt = performance.now();
    if (this.stuckMs < STUCK_MS) return;
    this.#unstuckAt = performance.now();
    this.#onStuck();
  }
}
