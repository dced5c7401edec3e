import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { copyConnection, type RedisClient } from '../redis-client.js';
import { buryEntry, type DeadLetter, defineDeadLetter } from './dead-letters.js';
import { type CfwJobEvent, fromEntry } from './event.js';
import { claim, type Entry, type PendingEntry } from './pending.js';

/** What a handler is told besides the event. */
export interface Delivery {
  /** Id of the stream entry. */
  readonly entryId: string;
  /** How often the entry has been delivered to a consumer of the group, this time included; 1 the first time. */
  readonly deliveries: number;
  /** Aborted when the subscriber stops: what can be cut short should be. */
  readonly signal: AbortSignal;
}

/** Handles one event. When it returns (or its promise resolves) the entry is acknowledged; when it throws, tried again. */
export type EventHandler = (event: CfwJobEvent, delivery: Delivery) => unknown;

/** How to subscribe. Durations are in milliseconds. */
export interface CfwJobEventSubscriberOptions {
  /** A connection to Redis; it stays the caller's. Two copies of it are made, one for reading and one for the rest. */
  readonly redis: RedisClient;
  /** The stream of events. @default '{cfw}:events' */
  readonly stream?: string;
  /** The consumer group: each of its consumers gets a part of the events, each group gets them all. */
  readonly group: string;
  /** Name of this consumer, unique among the running ones of the group; a pod or host name is a good one. */
  readonly consumer: string;
  readonly handler: EventHandler;
  /**
   * Where a group begins that does not exist yet: `start` of what the stream holds, its `end`, or after an entry id.
   *
   * @default 'end'
   */
  readonly from?: 'start' | 'end' | (string & {});
  /** Events that are handled at the same time. As many again are read ahead. @default 10 @minimum 1 @maximum 10000 */
  readonly concurrency?: number;
  /** After so many deliveries that failed an entry is moved to the dead letters. @default 5 @minimum 1 */
  readonly maxDeliveries?: number;
  /** The pause after the first failure; each further one is twice as long. @default 1000 @minimum 1 */
  readonly retryDelayMs?: number;
  /** The longest pause between two tries. @default 60000 */
  readonly maxRetryDelayMs?: number;
  /**
   * Entries that a consumer has neither acknowledged nor touched for so long are taken over: it is dead. Living consumers
   * touch theirs every third of it, so handlers may take longer; but a process that is blocked for longer counts as dead.
   *
   * @default 60000 @minimum 100
   */
  readonly claimIdleMs?: number;
  /** How long `stop` waits for handlers at work. @default 10000 @minimum 0 */
  readonly stopTimeoutMs?: number;
  /** A handler failed and the event will be tried again after `delayMs`. */
  readonly onRetry?: (failure: { error: unknown; event: CfwJobEvent; delivery: Delivery; delayMs: number }) => void;
  /** An entry was moved to the dead letters. Without this, `process.emitWarning` tells it. */
  readonly onDeadLetter?: (letter: DeadLetter) => void;
  /** Entries were trimmed from the stream before this group had handled them. Without this, `process.emitWarning` tells it. */
  readonly onTrimmed?: (entryIds: readonly string[]) => void;
  /** Redis answered with an error; what was tried is tried again. */
  readonly onTrouble?: (error: Error) => void;
}

/** An entry that was delivered to this consumer and is not settled. */
interface Held {
  readonly entryId: string;
  event: CfwJobEvent;
  fields: readonly string[];
  deliveries: number;
  state: 'ready' | 'running' | 'failed' | 'settling' | { readonly retry: NodeJS.Timeout };
}

/** The longest that Redis lets a read wait; then it is asked again. */
const BLOCK_MS = 5_000;
/** The longest pause between two looks for entries of dead consumers. */
const MAX_CLAIM_INTERVAL_MS = 5_000;
/** Ids in one command. */
const CHUNK = 1_000;
/** Entries that wait for their next try keep no slot, but memory; above this no more are read. */
const MAX_RETRYING = 10_000;
/** How long `stop` waits for Redis to take the last acknowledgements. */
const STOP_REDIS_MS = 2_000;

/**
 * Reads events as a member of a consumer group, and hands each to a handler at least once.
 *
 * - An entry is acknowledged after its handler has succeeded, never before.
 * - A handler that throws is tried again with growing pauses, while other events go on; after `maxDeliveries` the entry is
 *   moved to `<stream>:dead` with the error. So is an entry that is no event, at once.
 * - What a dead consumer left is taken over by the others after `claimIdleMs`, or by itself at once when it is back.
 * - It outlives restarts and failovers of Redis.
 *
 * It begins at once. Events are handed out in the order of the stream; with a `concurrency` above 1, and after failures,
 * they may end in another.
 */
export class CfwJobEventSubscriber {
  readonly #options: Required<Omit<CfwJobEventSubscriberOptions, 'redis' | Observers>> &
    Pick<CfwJobEventSubscriberOptions, Observers>;
  /** Blocked most of the time. */
  readonly #reader: RedisClient;
  readonly #redis: RedisClient;
  readonly #stopping = new AbortController();
  readonly #ready: Promise<void>;
  readonly #held = new Map<string, Held>();
  #queue: Held[] = [];
  #running = 0;
  #retrying = 0;
  #acknowledged: Held[] = [];
  #flushing: Promise<void> | undefined;
  readonly #loops: Promise<void>[];
  /** Emits `change` when something was begun, ended or settled. */
  readonly #changes = new EventEmitter().setMaxListeners(0);
  #lastSeen: string;
  #stopped: Promise<boolean> | undefined;

  /** @throws {RangeError} naming the option that does not fit. */
  constructor(options: CfwJobEventSubscriberOptions) {
    this.#options = withDefaults(options);
    const { from } = this.#options;
    this.#lastSeen = from === 'start' ? '0-0' : from === 'end' ? '$' : from;
    this.#reader = copyConnection(options.redis);
    this.#redis = copyConnection(options.redis);
    defineDeadLetter(this.#redis);
    this.#ready = this.#untilDone(() => this.#createGroup()).then(() => undefined);
    this.#loops = [this.#read(), this.#takeOver(), this.#keepAlive()];
  }

  /** Resolves when the group exists: events that are published from then on will be delivered. */
  async ready(): Promise<void> {
    await this.#ready;
  }

  /**
   * Stops: reads no more, waits for handlers at work (their `signal` is aborted), acknowledges what they did, and leaves all
   * else so that other consumers take it over at once.
   *
   * @returns false where handlers were still at work after `stopTimeoutMs` or Redis was away; other consumers will handle
   *   those events once more.
   */
  async stop(): Promise<boolean> {
    this.#stopped ??= this.#stop();
    return await this.#stopped;
  }

  async #stop(): Promise<boolean> {
    this.#stopping.abort();
    this.#reader.disconnect();
    this.#changed();
    for (const { state } of this.#held.values()) if (typeof state === 'object') clearTimeout(state.retry);
    const idle = async () => {
      while (this.#running > 0) await once(this.#changes, 'change');
    };
    const quiet = await within(this.#options.stopTimeoutMs, idle());
    const settle = async () => {
      await Promise.all([...this.#loops, this.#flushing]);
      await this.#handBack();
    };
    const settled = await within(STOP_REDIS_MS, settle());
    this.#redis.disconnect();
    return quiet && settled;
  }

  /** Reads new entries while there is room for them. */
  async #read(): Promise<void> {
    const { stream, group, consumer } = this.#options;
    await this.#ready;
    await this.#resume();
    while (!this.#stopping.signal.aborted) {
      const room = await this.#room();
      await this.#untilDone(async () => {
        const batches = (await this.#reader.xreadgroup(
          'GROUP',
          group,
          consumer,
          'COUNT',
          room,
          'BLOCK',
          BLOCK_MS,
          'STREAMS',
          stream,
          '>',
        )) as [string, Entry[]][] | null;
        for (const [, entries] of batches ?? []) {
          for (const entry of entries) this.#admit(entry, 1);
          this.#lastSeen = entries.at(-1)?.[0] ?? this.#lastSeen;
        }
      });
    }
  }

  /** Takes up what an earlier run under the same name has left. */
  async #resume(): Promise<void> {
    const { stream, group, consumer } = this.#options;
    for (let after = '0-0', more = true; more && !this.#stopping.signal.aborted; ) {
      const room = await this.#room();
      await this.#untilDone(async () => {
        const batches = (await this.#redis.xreadgroup(
          'GROUP',
          group,
          consumer,
          'COUNT',
          room,
          'STREAMS',
          stream,
          after,
        )) as [string, Entry[]][] | null;
        const entries = batches?.[0]?.[1] ?? [];
        await this.#admitPending(entries);
        more = entries.length > 0;
        after = entries.at(-1)?.[0] ?? after;
      });
    }
  }

  /** Looks now and then for entries of consumers that are dead. */
  async #takeOver(): Promise<void> {
    const { stream, group, consumer, claimIdleMs } = this.#options;
    await this.#ready;
    let cursor = '0-0';
    while (!this.#stopping.signal.aborted) {
      const room = await this.#room();
      await this.#untilDone(async () => {
        const [next, entries, trimmed = []] = (await this.#redis.xautoclaim(
          stream,
          group,
          consumer,
          claimIdleMs,
          cursor,
          'COUNT',
          room,
        )) as [string, Entry[], string[]?];
        cursor = next;
        // Redis 7 forgets what was trimmed and says so; 6.2 gives it without fields.
        if (trimmed.length > 0) this.#tellTrimmed(trimmed);
        await this.#admitPending(entries);
      });
      if (cursor === '0-0') await this.#pause(Math.min(claimIdleMs / 2, MAX_CLAIM_INTERVAL_MS));
    }
  }

  /** Touches what is held, so that nobody takes it for abandoned. */
  async #keepAlive(): Promise<void> {
    const { claimIdleMs } = this.#options;
    await this.#ready;
    for (;;) {
      await this.#pause(claimIdleMs / 3);
      if (this.#stopping.signal.aborted) return;
      const ids = [...this.#held.keys()];
      for (let from = 0; from < ids.length; from += CHUNK) {
        const chunk = ids.slice(from, from + CHUNK);
        await this.#untilDone(() => claim(this.#redis, this.#options, chunk, { keepCount: true }));
      }
    }
  }

  /** Takes in entries that had been pending; how often they were delivered has to be asked for. */
  async #admitPending(entries: readonly Entry[]): Promise<void> {
    const [first, last] = [entries.at(0)?.[0], entries.at(-1)?.[0]];
    if (first === undefined || last === undefined) return;
    const { stream, group, consumer } = this.#options;
    const counts = new Map<string, number>();
    for (let after: string = first; ; ) {
      const page = (await this.#redis.xpending(stream, group, after, last, CHUNK, consumer)) as PendingEntry[];
      for (const [id, , , deliveries] of page) counts.set(id, deliveries);
      const end = page.at(-1)?.[0];
      if (end === undefined || page.length < CHUNK) break;
      after = `(${end}`;
    }
    for (const entry of entries) this.#admit(entry, counts.get(entry[0]) ?? 1);
  }

  /** Takes in one entry that was delivered to this consumer. */
  #admit([entryId, fields]: Entry, deliveries: number): void {
    if (this.#held.has(entryId)) return;
    if (fields === null) {
      const { stream, group } = this.#options;
      void this.#untilDone(async () => {
        // 0 where somebody else has cleared it away, and told.
        if ((await this.#redis.xack(stream, group, entryId)) > 0) this.#tellTrimmed([entryId]);
      });
      return;
    }
    const held: Held = { entryId, fields, deliveries, event: undefined as never, state: 'ready' };
    this.#held.set(entryId, held);
    try {
      held.event = fromEntry(entryId, fields);
    } catch (error) {
      void this.#bury(held, error);
      return;
    }
    if (deliveries > this.#options.maxDeliveries) {
      const why = 'it was delivered again and again, but no handler came to an end: perhaps it crashes its process';
      void this.#bury(held, new Error(why));
      return;
    }
    this.#queue.push(held);
    this.#pump();
  }

  /** Hands out what is ready, up to the bound. */
  #pump(): void {
    while (this.#running < this.#options.concurrency && !this.#stopping.signal.aborted) {
      const next = this.#queue.shift();
      if (next === undefined) break;
      void this.#handle(next);
    }
    this.#changed();
  }

  async #handle(held: Held): Promise<void> {
    const { entryId, deliveries, event } = held;
    const delivery = { entryId, deliveries, signal: this.#stopping.signal };
    held.state = 'running';
    this.#running += 1;
    try {
      await this.#options.handler(event, delivery);
      this.#acknowledge(held);
    } catch (error) {
      // Whoever takes it over tries again.
      if (this.#stopping.signal.aborted) held.state = 'failed';
      else if (deliveries >= this.#options.maxDeliveries) void this.#bury(held, error);
      else this.#retryLater(held, error, delivery);
    } finally {
      this.#running -= 1;
      this.#pump();
    }
  }

  #retryLater(held: Held, error: unknown, delivery: Delivery): void {
    const { retryDelayMs, maxRetryDelayMs, onRetry } = this.#options;
    const delayMs = Math.min(retryDelayMs * 2 ** (held.deliveries - 1), maxRetryDelayMs);
    this.#retrying += 1;
    const retry = setTimeout(() => {
      this.#retrying -= 1;
      void this.#retry(held);
    }, delayMs);
    held.state = { retry };
    tell(onRetry, { error, event: held.event, delivery, delayMs });
  }

  /** Delivers an entry to ourselves once more: Redis counts it, so the count outlives this process. */
  async #retry(held: Held): Promise<void> {
    held.state = 'settling';
    await this.#untilDone(async () => {
      const [entry] = await claim(this.#redis, this.#options, [held.entryId]);
      if (entry?.[1] == null) {
        // Settled by somebody else meanwhile, or trimmed: there is nothing left to handle.
        this.#held.delete(held.entryId);
        return;
      }
      held.deliveries += 1;
      held.state = 'ready';
      this.#queue.push(held);
      this.#pump();
    });
  }

  /** Acknowledges with the next command: a burst of small handlers makes one command of it. */
  #acknowledge(held: Held): void {
    held.state = 'settling';
    this.#acknowledged.push(held);
    this.#flushing ??= this.#flush();
  }

  async #flush(): Promise<void> {
    const { stream, group } = this.#options;
    // What is handled in this turn of the event loop comes along.
    await Promise.resolve();
    while (this.#acknowledged.length > 0) {
      const batch = this.#acknowledged.splice(0, CHUNK);
      const ids = batch.map(({ entryId }) => entryId);
      await this.#untilDone(() => this.#redis.xack(stream, group, ...ids), { stopping: true });
      for (const id of ids) this.#held.delete(id);
      this.#changed();
    }
    // Not a turn later: what is acknowledged in between would wait for ever.
    this.#flushing = undefined;
  }

  /** Moves an entry to the dead letters, and says so. */
  async #bury(held: Held, reason: unknown): Promise<void> {
    const { stream, group, consumer, onDeadLetter } = this.#options;
    const { entryId, deliveries, fields } = held;
    held.state = 'settling';
    const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason);
    await this.#untilDone(async () => {
      const letter = await buryEntry(this.#redis, stream, {
        group,
        consumer,
        entryId,
        deliveries,
        error,
        entry: fields,
      });
      this.#held.delete(entryId);
      this.#changed();
      if (letter === undefined) return;
      if (onDeadLetter !== undefined) tell(onDeadLetter, letter);
      else warn(`stream entry ${entryId} was moved to ${stream}:dead after ${deliveries} deliveries: ${error}`);
    });
  }

  /** Leaves what was not handled as if it had lain idle for long: the next look of another consumer takes it. */
  async #handBack(): Promise<void> {
    const { stream, group, consumer, claimIdleMs } = this.#options;
    // Asked for rather than remembered, since what a read brought in the moment of stopping is not known here.
    for (let after = '-', more = true; more; ) {
      const page = (await this.#redis.xpending(stream, group, after, '+', CHUNK, consumer)) as PendingEntry[];
      await Promise.all(
        page.map(async ([id, , , deliveries]) => {
          const { state = 'ready' } = this.#held.get(id) ?? {};
          if (state === 'running' || state === 'settling') return;
          // What was never begun counts as not delivered.
          const count = state === 'ready' ? deliveries - 1 : deliveries;
          const times = { idleMs: claimIdleMs, deliveries: count, keepCount: true };
          await claim(this.#redis, this.#options, [id], times);
        }),
      );
      more = page.length === CHUNK;
      after = `(${page.at(-1)?.[0]}`;
    }
  }

  async #createGroup(): Promise<void> {
    const { stream, group } = this.#options;
    // "$" would be another place each time that the group has to be made again, so the end is looked up once.
    if (this.#lastSeen === '$') {
      this.#lastSeen = (await this.#redis.xrevrange(stream, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0-0';
    }
    try {
      await this.#redis.xgroup('CREATE', stream, group, this.#lastSeen, 'MKSTREAM');
    } catch (error) {
      if (!(error as Error).message.startsWith('BUSYGROUP')) throw error;
    }
  }

  /** Resolves to the number of entries that may be read now; waits until it is not 0, or until stopping. */
  async #room(): Promise<number> {
    const most = this.#options.concurrency * 2;
    for (;;) {
      const room = most - (this.#held.size - this.#retrying);
      if ((room > 0 && this.#retrying < MAX_RETRYING) || this.#stopping.signal.aborted) return Math.max(1, room);
      await once(this.#changes, 'change');
    }
  }

  /** Does one step, again and again with growing pauses where Redis answers with an error, until stopping. */
  async #untilDone(step: () => Promise<unknown>, { stopping = false } = {}): Promise<void> {
    for (let delayMs = 50; stopping || !this.#stopping.signal.aborted; delayMs = Math.min(delayMs * 2, 2_000)) {
      try {
        await step();
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        // Redis has lost the group: somebody has removed the stream, or a failover has.
        if ((error as Error).message.startsWith('NOGROUP')) await this.#createGroup().catch(() => {});
        tell(this.#options.onTrouble, error as Error);
        await this.#pause(delayMs);
      }
    }
  }

  #changed(): void {
    this.#changes.emit('change');
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }

  #tellTrimmed(ids: readonly string[]): void {
    const { stream, group, onTrimmed } = this.#options;
    if (onTrimmed !== undefined) tell(onTrimmed, ids);
    else
      warn(`${ids.length} entries of ${stream} were trimmed before the group ${group} had handled them: ${ids[0]} …`);
  }
}

type Observers = 'onRetry' | 'onDeadLetter' | 'onTrimmed' | 'onTrouble';

const isName = (text: unknown) => typeof text === 'string' && text !== '';

function withDefaults({ redis: _, ...options }: CfwJobEventSubscriberOptions) {
  const whole = {
    stream: '{cfw}:events',
    from: 'end',
    concurrency: 10,
    maxDeliveries: 5,
    retryDelayMs: 1_000,
    maxRetryDelayMs: 60_000,
    claimIdleMs: 60_000,
    stopTimeoutMs: 10_000,
    ...options,
  };
  for (const name of ['stream', 'group', 'consumer'] as const) {
    if (!isName(whole[name]))
      throw new RangeError(`${name}: ${JSON.stringify(whole[name])} does not fit; allowed is a name`);
  }
  if (!/^(start|end|\d+(-\d+)?)$/.test(whole.from)) {
    throw new RangeError(`from: "${whole.from}" does not fit; allowed is start, end or the id of an entry`);
  }
  const bounds = {
    concurrency: [1, 10_000],
    maxDeliveries: [1, 1_000_000],
    retryDelayMs: [1, MAX_DELAY_MS],
    maxRetryDelayMs: [1, MAX_DELAY_MS],
    claimIdleMs: [100, MAX_DELAY_MS],
    stopTimeoutMs: [0, MAX_DELAY_MS],
  } as const;
  for (const [name, [min, max]] of Object.entries(bounds)) {
    const value = whole[name as keyof typeof bounds];
    if (!(Number.isInteger(value) && value >= min && value <= max)) {
      throw new RangeError(`${name}: ${value} does not fit; allowed is a whole number from ${min} to ${max}`);
    }
  }
  return whole;
}

/** What Node's timers can wait. */
const MAX_DELAY_MS = 2_147_483_647;

/** Whether a promise resolved (to anything but false) in time. */
async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const late = new AbortController();
  const bound = sleep(ms, false, { signal: late.signal }).catch(() => false);
  const done = await Promise.race([promise.then((value) => value !== false), bound]);
  late.abort();
  return done;
}

/** An observer that throws must not stop what it observes. */
function tell<T>(observer: ((news: T) => void) | undefined, news: T): void {
  try {
    observer?.(news);
  } catch (error) {
    warn(`an observer of the subscriber threw: ${String(error)}`);
  }
}

function warn(message: string): void {
  process.emitWarning(message, 'CfwJobEventSubscriberWarning');
}
