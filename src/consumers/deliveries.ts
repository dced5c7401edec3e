import { EventEmitter, once } from 'node:events';
import { type CfwJobEvent, fromEntry } from '../events/index.js';
import type { ConsumerGroup } from './consumer-group.js';
import { buryEntry, defineDeadLetter } from './dead-letters.js';
import { notify, warn } from './notify.js';
import type { Delivery, SubscriberSettings } from './options.js';
import { CHUNK, claim, type Entry, pendingPages } from './pending.js';

/** An entry that was delivered to this consumer and is not settled. */
interface Held {
  readonly entryId: string;
  event: CfwJobEvent;
  fields: readonly string[];
  deliveries: number;
  state: 'ready' | 'running' | 'failed' | 'settling' | { readonly retry: NodeJS.Timeout };
}

/** Entries that wait for their next try keep no slot, but memory; above this no more are read. */
const MAX_RETRYING = 10_000;

/** The entries that were delivered to this consumer, from their arrival until they are settled: acknowledged or buried. */
export class Deliveries {
  readonly #group: ConsumerGroup;
  readonly #settings: SubscriberSettings;
  readonly #held = new Map<string, Held>();
  #queue: Held[] = [];
  #running = 0;
  #retrying = 0;
  #acknowledged: Held[] = [];
  #flushing: Promise<void> | undefined;
  /** Emits `change` when something was begun, ended or settled. */
  readonly #changes = new EventEmitter().setMaxListeners(0);

  constructor(group: ConsumerGroup) {
    this.#group = group;
    this.#settings = group.settings;
    defineDeadLetter(group.redis);
  }

  /** Resolves to the number of entries that may be read now; waits until it is not 0, or until stopping. */
  async room(): Promise<number> {
    const most = this.#settings.concurrency * 2;
    for (;;) {
      const room = most - (this.#held.size - this.#retrying);
      if ((room > 0 && this.#retrying < MAX_RETRYING) || this.#group.stopping.aborted) return Math.max(1, room);
      await once(this.#changes, 'change');
    }
  }

  /** Takes in entries that had been pending; how often they were delivered has to be asked for. */
  async admitPending(entries: readonly Entry[]): Promise<void> {
    const there = entries.filter(([, fields]) => fields !== null);
    const [first, last] = [there.at(0)?.[0], there.at(-1)?.[0]];
    const counts = new Map<string, number>();
    if (first !== undefined && last !== undefined) {
      for await (const page of pendingPages(this.#group.redis, this.#settings, { first, last })) {
        for (const [id, , , deliveries] of page) counts.set(id, deliveries);
      }
    }
    for (const entry of entries) this.admit(entry, counts.get(entry[0]) ?? 1);
  }

  /**
   * Takes in what is pending for us and not here, for some time at least: it was delivered with an answer that a broken
   * connection has lost, and no further read would bring it.
   */
  async recover(minIdleMs: number): Promise<void> {
    const { redis, settings } = this.#group;
    for await (const page of pendingPages(redis, settings)) {
      const lost = page.filter(([id, , idleMs]) => Number(idleMs) >= minIdleMs && !this.#held.has(id));
      await Promise.all(
        lost.map(async ([id, , , deliveries]) => {
          const [entry] = await redis.xrange(settings.stream, id, id);
          this.admit(entry ?? [id, null], Number(deliveries));
        }),
      );
    }
  }

  /** Takes in one entry that was delivered to this consumer. */
  admit([entryId, fields]: Entry, deliveries: number): void {
    if (this.#held.has(entryId)) return;
    if (fields === null) {
      const { stream, group } = this.#settings;
      void this.#group.untilAnswered(async () => {
        // 0 if another consumer has cleared it away, and reported it.
        if ((await this.#group.redis.xack(stream, group, entryId)) > 0) this.#group.notifyTrimmed([entryId]);
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
    if (deliveries > this.#settings.maxDeliveries) {
      const why = 'it was delivered again and again, but no handler came to an end: perhaps it crashes its process';
      void this.#bury(held, new Error(why));
      return;
    }
    this.#queue.push(held);
    this.#pump();
  }

  /** Hands out what is ready, up to the bound. */
  #pump(): void {
    while (this.#running < this.#settings.concurrency && !this.#group.stopping.aborted) {
      const next = this.#queue.shift();
      if (next === undefined) break;
      void this.#handle(next);
    }
    this.#changed();
  }

  async #handle(held: Held): Promise<void> {
    const { entryId, deliveries, event } = held;
    const delivery = { entryId, deliveries, signal: this.#group.stopping };
    held.state = 'running';
    this.#running += 1;
    try {
      await this.#settings.handler(event, delivery);
      this.#acknowledge(held);
    } catch (error) {
      // The consumer that takes it over tries again.
      if (this.#group.stopping.aborted) held.state = 'failed';
      else if (deliveries >= this.#settings.maxDeliveries) void this.#bury(held, error);
      else this.#retryLater(held, error, delivery);
    } finally {
      this.#running -= 1;
      this.#pump();
    }
  }

  #retryLater(held: Held, error: unknown, delivery: Delivery): void {
    const { retryDelayMs, maxRetryDelayMs, onRetry } = this.#settings;
    const delayMs = Math.min(retryDelayMs * 2 ** (held.deliveries - 1), maxRetryDelayMs);
    this.#retrying += 1;
    const retry = setTimeout(() => {
      this.#retrying -= 1;
      void this.#retry(held);
    }, delayMs);
    held.state = { retry };
    notify(onRetry, { error, event: held.event, delivery, delayMs });
  }

  /** Delivers an entry to ourselves once more: Redis counts it, so the count outlives this process. */
  async #retry(held: Held): Promise<void> {
    held.state = 'settling';
    await this.#group.untilAnswered(async () => {
      const [entry] = await claim(this.#group.redis, this.#settings, [held.entryId]);
      if (entry?.[1] == null) {
        // Settled by another consumer meanwhile, or trimmed: there is nothing left to handle.
        this.#held.delete(held.entryId);
        this.#changed();
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
    const { stream, group } = this.#settings;
    // What is handled in this turn of the event loop comes along.
    await Promise.resolve();
    while (this.#acknowledged.length > 0) {
      const batch = this.#acknowledged.splice(0, CHUNK);
      const ids = batch.map(({ entryId }) => entryId);
      await this.#group.untilAnswered(() => this.#group.redis.xack(stream, group, ...ids), { stopping: true });
      for (const id of ids) this.#held.delete(id);
      this.#changed();
    }
    // Not a turn later: what is acknowledged in between would wait for ever.
    this.#flushing = undefined;
  }

  /** Moves an entry to the dead letters, and says so. */
  async #bury(held: Held, reason: unknown): Promise<void> {
    const { stream, group, consumer, onDeadLetter } = this.#settings;
    const { entryId, deliveries, fields } = held;
    held.state = 'settling';
    const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason);
    const dead = { group, consumer, entryId, deliveries, error, entry: fields };
    await this.#group.untilAnswered(async () => {
      const letter = await buryEntry(this.#group.redis, stream, dead);
      this.#held.delete(entryId);
      this.#changed();
      if (letter === undefined) return;
      if (onDeadLetter !== undefined) notify(onDeadLetter, letter);
      else warn(`stream entry ${entryId} was moved to ${stream}:dead after ${deliveries} deliveries: ${error}`);
    });
  }

  /** Leaves what was not handled as if it had lain idle for long: the next look of another consumer takes it. */
  async handBack(): Promise<void> {
    // Asked for rather than remembered, since what a read brought in the moment of stopping is not known here.
    for await (const page of pendingPages(this.#group.redis, this.#settings)) {
      await Promise.all(
        page.map(async ([id, , , deliveries]) => {
          const { state = 'ready' } = this.#held.get(id) ?? {};
          if (state === 'running' || state === 'settling') return;
          // What was never begun counts as not delivered.
          const count = state === 'ready' ? deliveries - 1 : deliveries;
          const times = { idleMs: this.#settings.claimIdleMs, deliveries: count, keepCount: true };
          await claim(this.#group.redis, this.#settings, [id], times);
        }),
      );
    }
  }

  /** Touches all, so that no consumer takes them for abandoned. */
  async touch(): Promise<void> {
    const ids = [...this.#held.keys()];
    for (let from = 0; from < ids.length; from += CHUNK) {
      const chunk = ids.slice(from, from + CHUNK);
      await this.#group.untilAnswered(() => claim(this.#group.redis, this.#settings, chunk, { keepCount: true }));
    }
  }

  /** Wakes what waits for room, and lets no try begin any more; resolves when no handler is at work. */
  async stop(): Promise<void> {
    this.#changed();
    for (const { state } of this.#held.values()) if (typeof state === 'object') clearTimeout(state.retry);
    while (this.#running > 0) await once(this.#changes, 'change');
  }

  /** Resolves when what was handled is acknowledged. */
  async acknowledged(): Promise<void> {
    await this.#flushing;
  }

  #changed(): void {
    this.#changes.emit('change');
  }
}
