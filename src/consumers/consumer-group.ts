import { setTimeout as sleep } from 'node:timers/promises';
import {
  answered,
  copyConnection,
  isDemoted,
  type RedisClient,
  type RedisConnection,
  reconnect,
} from '../redis/index.js';
import { notify, warn } from './notify.js';
import type { SubscriberSettings } from './options.js';
import { type Entry, pendingPages } from './pending.js';

/** The longest that Redis lets a read wait; then it is asked again. */
const BLOCK_MS = 5_000;
/** A read that has brought nothing for this long, not even that there is nothing, has lost its connection. */
const SILENT_READ_MS = BLOCK_MS + 3_000;
/** Errors in a row for this long are reported by a warning of the process if there is no `onError`. */
const WARN_AFTER_MS = 5_000;

/** A consumer's way to its group in Redis, through failures of Redis and the loss of the group. */
export class ConsumerGroup {
  readonly settings: SubscriberSettings;
  readonly stopping: AbortSignal;
  readonly redis: RedisClient;
  /** Blocked most of the time. */
  readonly #reader: RedisClient;
  /** Behind this entry the group begins if it has to be made again. */
  #lastSeen: string;
  readonly #closed = new AbortController();
  /** When the errors began that have not ended yet. */
  #failingSince: number | undefined;
  #hasWarned = false;

  constructor(redis: RedisConnection, settings: SubscriberSettings, stopping: AbortSignal) {
    this.settings = settings;
    this.stopping = stopping;
    this.redis = copyConnection(redis);
    this.#reader = copyConnection(redis, (error) => this.#report(error));
    const { from } = settings;
    this.#lastSeen = from === 'start' ? '0-0' : from === 'end' ? '$' : from;
  }

  /** Calls a listener each time that a connection was made: the answer to a command on the last one may be lost. */
  onConnected(listener: () => void): void {
    for (const connection of [this.redis, this.#reader]) {
      // In a cluster the connections to single nodes come and go.
      for (const event of ['ready', '+node']) connection.on(event, listener);
    }
  }

  /** Makes the group if it does not exist. */
  async create(): Promise<void> {
    const { stream, group } = this.settings;
    // "$" would be another place each time that the group has to be made again, so the end is looked up once.
    if (this.#lastSeen === '$') {
      this.#lastSeen = (await this.redis.xrevrange(stream, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0-0';
    }
    try {
      await this.redis.xgroup('CREATE', stream, group, this.#lastSeen, 'MKSTREAM');
    } catch (error) {
      if (!(error as Error).message.startsWith('BUSYGROUP')) throw error;
    }
  }

  /** Closes the connection; what it has not answered is not waited for any more. */
  close(): void {
    this.#closed.abort();
    this.redis.disconnect();
  }

  /** Ends a read that waits. */
  readNoMore(): void {
    this.#reader.disconnect();
  }

  /** Entries that no consumer has had; waits if there are none. */
  async readNew(count: number): Promise<Entry[]> {
    const { stream, group, consumer } = this.settings;
    const args = ['COUNT', count, 'BLOCK', BLOCK_MS, 'STREAMS', stream, '>'] as const;
    const read = this.#reader.xreadgroup('GROUP', group, consumer, ...args);
    const report = (error: Error) => this.#report(error);
    const entries = entriesOf(await answered(this.#reader, read, SILENT_READ_MS, report, this.stopping));
    this.#lastSeen = entries.at(-1)?.[0] ?? this.#lastSeen;
    return entries;
  }

  /** Entries that were delivered under our name and are not settled. */
  async readOwn(after: string, count: number): Promise<Entry[]> {
    const { stream, group, consumer } = this.settings;
    return entriesOf(await this.redis.xreadgroup('GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, after));
  }

  /**
   * Looks for entries of dead consumers.
   *
   * @returns from where to look next, `0-0` where all was seen, and the entries that are ours now.
   */
  async claimIdle(cursor: string, count: number): Promise<[next: string, entries: Entry[]]> {
    const { stream, group, consumer, claimIdleMs } = this.settings;
    const found = await this.redis.xautoclaim(stream, group, consumer, claimIdleMs, cursor, 'COUNT', count);
    const [next, entries, trimmed = []] = found as [string, (Entry | null)[], string[]?];
    // Redis 7 forgets what was trimmed and says so; 6.2 makes it ours and gives null for it.
    if (trimmed.length > 0) this.notifyTrimmed(trimmed);
    const there = entries.filter((entry) => entry !== null);
    return [next, there.length < entries.length ? [...(await this.#trimmedOfOurs()), ...there] : there];
  }

  /** What is pending for us and no longer on the stream. */
  async #trimmedOfOurs(): Promise<Entry[]> {
    const trimmed: Entry[] = [];
    for await (const page of pendingPages(this.redis, this.settings)) {
      for (const [id] of page) {
        if ((await this.redis.xrange(this.settings.stream, id, id)).length === 0) trimmed.push([id, null]);
      }
    }
    return trimmed;
  }

  /** Does one step, again and again with growing pauses if Redis answers with an error, until stopping. */
  async untilDone(step: () => Promise<unknown>, { stopping = false } = {}): Promise<void> {
    for (let delayMs = 50; stopping || !this.stopping.aborted; delayMs = Math.min(delayMs * 2, 2_000)) {
      try {
        await step();
        this.#failingSince = undefined;
        this.#hasWarned = false;
        return;
      } catch (error) {
        if (this.stopping.aborted) return;
        // Redis has lost the group: the stream was removed, or a failover has lost it.
        if ((error as Error).message.startsWith('NOGROUP')) await this.create().catch(() => {});
        if (isDemoted(error)) for (const connection of [this.redis, this.#reader]) reconnect(connection);
        this.#report(error as Error);
        await this.pause(delayMs);
      }
    }
  }

  /** As `untilDone`, for steps that do not block: if Redis is silent the connection is replaced. */
  async untilAnswered(step: () => Promise<unknown>, options?: { stopping?: boolean }): Promise<void> {
    const report = (error: Error) => this.#report(error);
    const watched = () => answered(this.redis, step(), undefined, report, this.#closed.signal);
    await this.untilDone(watched, options);
  }

  #report(error: Error): void {
    if (this.stopping.aborted) return;
    const { onError, stream } = this.settings;
    if (onError !== undefined) {
      notify(onError, error);
      return;
    }
    this.#failingSince ??= performance.now();
    if (this.#hasWarned || performance.now() - this.#failingSince < WARN_AFTER_MS) return;
    this.#hasWarned = true;
    warn(`${stream} cannot be read for now, and is tried again and again: ${error.message}`);
  }

  /** Waits, until stopping at the longest. */
  async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping }).catch(() => {});
  }

  notifyTrimmed(ids: readonly string[]): void {
    const { stream, group, onTrimmed } = this.settings;
    if (onTrimmed !== undefined) notify(onTrimmed, ids);
    else
      warn(`${ids.length} entries of ${stream} were trimmed before the group ${group} had handled them: ${ids[0]} …`);
  }
}

function entriesOf(batches: unknown): Entry[] {
  return (batches as [string, Entry[]][] | null)?.[0]?.[1] ?? [];
}
