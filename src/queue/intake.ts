import type { RedisClock } from './clock.js';
import type { Pacer, Turn } from './pacer.js';
import type { Slots } from './slots.js';
import type { Fetched, QueueStore, Taken } from './store.js';

/** An empty queue is looked at this often even if no word of a job comes, in milliseconds: the connection may be dead. */
const LOOK_MS = 10_000;
/** One wait for BullMQ's word, in milliseconds. */
const WAIT_MS = 5_000;
/** Another fetch comes after this at the latest, in milliseconds: a person may have ended the cool-down. */
const MAX_COOL_DOWN_MS = 10_000;
/** After an error the next try comes after a pause that doubles from the first to the second of these, in milliseconds. */
const MIN_ERROR_PAUSE_MS = 50;
const MAX_ERROR_PAUSE_MS = 2_000;

export interface IntakeOptions {
  readonly store: QueueStore;
  readonly slots: Slots;
  readonly pacer: Pacer;
  readonly clock: RedisClock;
  /** Names the next lock. */
  readonly newToken: () => string;
  /** A job has come, with the turn of its first call if there was one. It is ours, whatever has happened meanwhile. */
  readonly onTaken: (job: Taken, turn: Turn | undefined) => void;
  /** A cool-down of so many milliseconds stops fetching; 0: the rate does. */
  readonly onLimited: (coolDownMs: number) => void;
  readonly onError: (error: unknown) => void;
}

/** Fetches jobs one after the other, as long as there is room for them and a turn for their calls. */
export class Intake {
  readonly #options: IntakeOptions;
  #isStopped = false;
  /** Nothing is fetched before this, by `performance.now()`, which is not cut to whole milliseconds as Redis's clock is. */
  #closedUntil = 0;
  #errorPauseMs = 0;
  /** Whether the newest fetch has found that no job waits. */
  #isIdle = true;
  /** When the first of the delayed jobs is due, in epoch milliseconds, and when to look again, by `performance.now()`. */
  #nextDueAt = 0;
  #lookAt = 0;
  #isListening = false;
  /** BullMQ's word of a job has come. It goes to one process only, so this one must fetch. */
  #hasWord = false;
  /** Whether it waits for something before it fetches again; what waits for that. */
  #isResting = false;
  #onRest: (() => void)[] = [];
  #wake: (() => void) | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  start(): void {
    this.#ended = this.#run();
  }

  /** Resolves once no fetch is under way and none will follow. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Whether no job waits to be fetched. If a fetch is under way that will show it, that is waited for. */
  async noJobWaits(): Promise<boolean> {
    while (!this.#isResting && !this.#isStopped) {
      await new Promise<void>((resolve) => {
        this.#onRest.push(resolve);
      });
    }
    return this.#isIdle;
  }

  /** The turn for a job that is to come in the place of one that leaves; undefined if none may come. */
  refillTurn(): Turn | undefined {
    const { slots, pacer } = this.#options;
    if (this.#isStopped || performance.now() < this.#closedUntil || !slots.mayRefill) return undefined;
    return pacer.takeForRefill();
  }

  /** Takes note of how a fetch came out, also of one that was made as a job left. */
  note({ job, coolDownMs, nextDueAt }: Fetched): void {
    this.#errorPauseMs = 0;
    this.#isIdle = job === undefined && coolDownMs === 0;
    this.#nextDueAt = nextDueAt || Number.POSITIVE_INFINITY;
    this.#lookAt = performance.now() + LOOK_MS;
    if (coolDownMs === 0) return;
    this.#closedUntil = performance.now() + Math.min(coolDownMs, MAX_COOL_DOWN_MS) + 1;
    this.#options.onLimited(coolDownMs);
  }

  /** Call it when there may be room again, or a larger share of the rate. */
  room(): void {
    this.#wake?.();
  }

  /** Jobs wait, as another process saw. */
  lookNow(): void {
    this.#lookAt = 0;
    this.#wake?.();
  }

  /** Fetches no more. A fetch that is under way may still bring a job. */
  stop(): void {
    this.#isStopped = true;
    this.#options.store.interrupt();
    this.#wake?.();
    this.#resting();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const restMs = this.#restMs();
      if (restMs > 0) await this.#rest(restMs);
      else await this.#fetch();
    }
  }

  /** For how long there is nothing to fetch, unless something happens meanwhile, in milliseconds. */
  #restMs(): number {
    const { slots, pacer, clock } = this.#options;
    const closedMs = this.#closedUntil - performance.now();
    if (closedMs > 0) return closedMs;
    if (this.#hasWord) return 0;
    if (!slots.isRoom) return Number.POSITIVE_INFINITY;
    const turnMs = pacer.waitMs;
    if (!this.#isIdle) {
      if (turnMs <= 0) return 0;
      pacer.missed();
      this.#options.onLimited(0);
      return turnMs;
    }
    const dueMs = Math.min(this.#nextDueAt - clock.now(), this.#lookAt - performance.now());
    // Without a share it does not listen: BullMQ's word is for a process that can call.
    if (dueMs > 0 && turnMs !== Number.POSITIVE_INFINITY) this.#listen();
    return Math.max(dueMs, turnMs);
  }

  async #fetch(): Promise<void> {
    const { store, pacer, newToken, onTaken, onError } = this.#options;
    this.#hasWord = false;
    const turn = pacer.take();
    try {
      const fetched = await store.take(newToken());
      this.note(fetched);
      if (fetched.job !== undefined) onTaken(fetched.job, turn);
      else if (turn !== undefined) pacer.giveBack();
    } catch (error) {
      if (turn !== undefined) pacer.giveBack();
      this.#failed(error, onError);
    }
  }

  /**
   * Listens for BullMQ's word of a job. Delayed jobs are not waited for in this way, but by a timer: Redis ends a wait up to a
   * tenth of a second late, and so it can go on.
   */
  #listen(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    void this.#nextWord().finally(() => {
      this.#isListening = false;
      this.#wake?.();
    });
  }

  async #nextWord(): Promise<void> {
    const { store, onError } = this.#options;
    try {
      const dueAt = await store.wait(WAIT_MS);
      if (dueAt === 0) this.#hasWord = true;
      else if (dueAt !== undefined) this.#nextDueAt = Math.min(this.#nextDueAt, dueAt);
    } catch (error) {
      this.#failed(error, onError);
      if (!this.#isStopped) await store.recover().catch(() => {});
    }
  }

  #failed(error: unknown, onError: (error: unknown) => void): void {
    if (this.#isStopped) return;
    this.#errorPauseMs = Math.min(MAX_ERROR_PAUSE_MS, Math.max(MIN_ERROR_PAUSE_MS, 2 * this.#errorPauseMs));
    this.#closedUntil = performance.now() + this.#errorPauseMs;
    onError(error);
  }

  /** Waits for so long, or until something has happened. */
  async #rest(ms: number): Promise<void> {
    this.#isResting = true;
    this.#resting();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(Math.ceil(ms), LOOK_MS)).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
    this.#isResting = false;
  }

  #resting(): void {
    for (const resolve of this.#onRest.splice(0)) resolve();
  }
}
