import type { SourceObserver } from './credential.js';

/** What a source gave. */
export interface Lease<T> {
  readonly value: T;
  /** For how long it is good, in milliseconds from when it was asked for, by the clock of the source. */
  readonly lifeMs: number;
}

/** What {@link Renewing} needs of a source. */
export interface RenewingOptions<T> {
  /** One answer of the source. @throws {CredentialError} */
  readonly ask: () => Promise<Lease<T>>;
  /** Whether the source may be asked now; false during the pause after a failure. */
  readonly mayAsk: () => boolean;
  /** How far ahead of the end of a life the next value is asked for, in milliseconds. */
  readonly aheadMs: (lifeMs: number) => number;
  /** Whether the source gave what it had given before: some keep a key until just before its end. */
  readonly isSame?: (a: T, b: T) => boolean;
  readonly observe?: SourceObserver;
}

interface Current<T> {
  readonly value: T;
  /** By `performance.now()`, so that setting the clock neither shortens nor lengthens a life. */
  readonly renewAt: number;
  readonly expiresAt: number;
  readonly askedAt: number;
  /** It was asked for since the one before was refused; if this one is refused too, a third will not be better. */
  readonly replacesRefused: boolean;
}

/** A value that replaces a refused one and is refused within this time was never good. */
const FRESH_MS = 30_000;
/** A source that keeps giving the same value is asked at most this often. */
const SAME_PAUSE_MS = 1_000;

/**
 * A value with a life, renewed ahead of its end: in the background, one request at a time, however many calls wait. The old
 * value stays in use until its end, so no call waits for a renewal that is early, and a source that is away is noticed only
 * by who needs a value when there is none left.
 */
export class Renewing<T> {
  readonly #options: RenewingOptions<T>;
  #current: Current<T> | undefined;
  #asking: Promise<Current<T>> | undefined;
  #isRefused = false;
  #hadValue = false;

  constructor(options: RenewingOptions<T>) {
    this.#options = options;
  }

  /** Whether a source has ever given a value. */
  get hadValue(): boolean {
    return this.#hadValue;
  }

  /** Whether there is a value that has not ended. */
  get isGood(): boolean {
    return this.#current !== undefined && performance.now() < this.#current.expiresAt;
  }

  /** Whether the value in use is this one. */
  has(isIt: (value: T) => boolean): boolean {
    return this.#current !== undefined && isIt(this.#current.value);
  }

  /** The value, at once if it has not ended. */
  get(): T | Promise<T> {
    const current = this.#current;
    const now = performance.now();
    if (current === undefined || now >= current.expiresAt) return this.#renew().then(({ value }) => value);
    // A renewal that fails is tried again by later calls; the value is good until its end.
    if (now >= current.renewAt && this.#options.mayAsk()) this.#renew().catch(() => {});
    return current.value;
  }

  /**
   * A value was refused by whom it was shown to.
   *
   * @returns whether there is something new to try at once.
   */
  refused(isRefused: (value: T) => boolean): boolean {
    const current = this.#current;
    // Another call has already thrown it away, and a new one is there or under way.
    if (current === undefined || !isRefused(current.value)) return true;
    this.#current = undefined;
    this.#isRefused = true;
    // One new value at once; should that be refused too, the next one comes with the next probe.
    // One that was due for renewal may just have ended, with a call under way.
    return !(current.replacesRefused && performance.now() < Math.min(current.askedAt + FRESH_MS, current.renewAt));
  }

  #renew(): Promise<Current<T>> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #ask(): Promise<Current<T>> {
    const { ask, isSame, observe = () => {} } = this.#options;
    const askedAt = performance.now();
    const before = this.#current;
    const lease = await ask();
    return this.#take(lease, askedAt, before !== undefined && isSame?.(before.value, lease.value) === true, observe);
  }

  #take({ value, lifeMs }: Lease<T>, askedAt: number, isSame: boolean, observe: SourceObserver): Current<T> {
    const ahead = lifeMs - this.#options.aheadMs(lifeMs);
    const current = {
      value,
      askedAt,
      renewAt: askedAt + (isSame ? Math.max(ahead, SAME_PAUSE_MS) : ahead),
      expiresAt: askedAt + lifeMs,
      replacesRefused: this.#isRefused,
    };
    this.#current = current;
    this.#isRefused = false;
    if (!isSame) observe({ outcome: 'issued', expiresAt: Date.now() + lifeMs, isRenewal: this.#hadValue });
    this.#hadValue = true;
    return current;
  }
}
