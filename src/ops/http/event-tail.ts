import { type ReadEvent, readEvents } from '../../events/index.js';
import type { RedisClient } from '../../redis/index.js';

/** Hears of an event as it appears. */
export type TailListener = (event: ReadEvent) => void;

/** One reader at the live end of the stream for any number of listeners. It reads while there are any. */
export class EventTail {
  readonly #redis: RedisClient;
  readonly #stream: string;
  readonly #onEnd: () => void;
  #users = 0;
  #position = '0-0';
  #starting: Promise<void> | undefined;
  #stop: AbortController | undefined;
  readonly #listeners = new Set<TailListener>();

  /** @param onEnd the stream cannot be read any more; what listens hears of nothing more until it is opened again. */
  constructor(redis: RedisClient, stream: string, onEnd: () => void) {
    this.#redis = redis;
    this.#stream = stream;
    this.#onEnd = onEnd;
  }

  /** Id of the last entry that was passed on, or the stream's last one at the beginning. */
  get position(): string {
    return this.#position;
  }

  /** Begins to read, unless that has been done; each call needs its `close`. */
  async open(): Promise<void> {
    this.#users += 1;
    this.#starting ??= this.#start();
    try {
      await this.#starting;
    } catch (error) {
      this.#starting = undefined;
      this.close();
      throw error;
    }
  }

  /** Ends the reading with the last user. */
  close(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#stop?.abort();
    this.#starting = undefined;
  }

  add(listener: TailListener): void {
    this.#listeners.add(listener);
  }

  remove(listener: TailListener): void {
    this.#listeners.delete(listener);
  }

  async #start(): Promise<void> {
    const stop = new AbortController();
    this.#stop = stop;
    const [last] = await this.#redis.xrevrange(this.#stream, '+', '-', 'COUNT', 1);
    this.#position = last?.[0] ?? '0-0';
    void this.#read(stop.signal);
  }

  async #read(signal: AbortSignal): Promise<void> {
    try {
      for await (const event of readEvents(this.#redis, { stream: this.#stream, from: this.#position, signal })) {
        this.#position = event.entryId;
        for (const listener of this.#listeners) listener(event);
      }
    } catch {
      // A key of another type, or no permission: each listener sees the same error when it reads a page.
    }
    if (signal.aborted) return;
    this.#starting = undefined;
    this.#onEnd();
  }
}

/** Whether an entry comes behind another one. */
export function isBehind(entryId: string, other: string): boolean {
  const [ms = 0, sequence = 0] = entryId.split('-').map(Number);
  const [otherMs = 0, otherSequence = 0] = other.split('-').map(Number);
  return ms === otherMs ? sequence > otherSequence : ms > otherMs;
}
