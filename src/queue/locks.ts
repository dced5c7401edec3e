import { repeat } from './repeat.js';
import type { QueueStore, Taken } from './store.js';

/**
 * The jobs of a worker that was killed run again 10 to 15 s later: the lock has to run out, then the next check for stalled
 * jobs finds them. Milliseconds.
 */
export const LOCK_MS = 10_000;
export const STALLED_EVERY_MS = 5_000;
/** One renewal may come late, or fail, and no lock is lost. */
const RENEW_EVERY_MS = 3_000;

export interface LockKeeperOptions {
  readonly store: () => QueueStore;
  /** The jobs that are worked on here. */
  readonly jobs: () => readonly Taken[];
  /** Other workers may have these by now. */
  readonly onLost: (jobs: readonly Taken[]) => void;
  readonly onError: (error: unknown) => void;
}

/** Renews the locks of the jobs that are here. */
export class LockKeeper {
  readonly #options: LockKeeperOptions;
  readonly #stop = new AbortController();

  constructor(options: LockKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    const { store, jobs, onLost, onError } = this.#options;
    const renew = async () => {
      const here = jobs();
      if (here.length === 0) return;
      const lost = new Set(await store().renewLocks(here));
      if (lost.size > 0) onLost(here.filter(({ id }) => lost.has(id)));
    };
    void repeat(renew, RENEW_EVERY_MS, this.#stop.signal, onError);
  }

  /** Call it when no job is left here. */
  stop(): void {
    this.#stop.abort();
  }
}
