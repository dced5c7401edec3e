import { setTimeout as sleep } from 'node:timers/promises';
import { ConsumerGroup } from './consumer-group.js';
import { Deliveries } from './deliveries.js';
import { type CfwJobEventSubscriberOptions, withDefaults } from './options.js';

/** The longest pause between two looks for entries of dead consumers. */
const MAX_CLAIM_INTERVAL_MS = 5_000;
/** How long `stop` waits for Redis to take the last acknowledgements. */
const STOP_REDIS_MS = 2_000;
/** Entries that have been pending for this long and are not here were lost on the way; what is just being read is not. */
const LOST_AFTER_MS = 1_000;

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
 *
 * @example
 * ```ts
 * import { hostname } from 'node:os';
 * import { Redis } from 'ioredis';
 * import { CfwJobEventSubscriber } from 'cfw-job-poller';
 *
 * const redis = new Redis('redis://127.0.0.1:6379');
 * const subscriber = new CfwJobEventSubscriber({
 *   redis,
 *   group: 'billing',
 *   consumer: hostname(),
 *   from: 'start',
 *   handler: async (event, { signal }) => {
 *     await fetch('https://billing.example.com/firewalls', { method: 'POST', body: JSON.stringify(event.data), signal });
 *   },
 *   onDeadLetter: ({ event, error }) => console.error('gave up on', event?.id, error),
 *   onError: (error) => console.error('Redis:', error.message),
 * });
 *
 * process.once('SIGTERM', async () => {
 *   await subscriber.stop();
 *   redis.disconnect();
 * });
 * ```
 */
export class CfwJobEventSubscriber {
  readonly #stopping = new AbortController();
  readonly #group: ConsumerGroup;
  readonly #deliveries: Deliveries;
  readonly #ready: Promise<void>;
  readonly #loops: Promise<void>[];
  #hasResumed = false;
  #recovering: Promise<void> | undefined;
  #stopped: Promise<boolean> | undefined;

  /** @throws {InvalidOptionError} naming the option that is invalid. */
  constructor(options: CfwJobEventSubscriberOptions) {
    this.#group = new ConsumerGroup(options.redis, withDefaults(options), this.#stopping.signal);
    this.#deliveries = new Deliveries(this.#group);
    this.#ready = this.#group.untilAnswered(() => this.#group.create());
    this.#group.onConnected(() => {
      if (this.#hasResumed)
        this.#recovering ??= this.#recover().finally(() => {
          this.#recovering = undefined;
        });
    });
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
   * @returns false if handlers were still at work after `stopTimeoutMs`, or if Redis was away or refused; other consumers
   *   will handle those events once more.
   */
  async stop(): Promise<boolean> {
    this.#stopped ??= this.#stop();
    return await this.#stopped;
  }

  async #stop(): Promise<boolean> {
    this.#stopping.abort();
    this.#group.readNoMore();
    const quiet = await within(this.#group.settings.stopTimeoutMs, this.#deliveries.stop());
    const settle = async () => {
      await Promise.all([...this.#loops, this.#recovering, this.#deliveries.acknowledged()]);
      await this.#deliveries.handBack();
    };
    // What Redis refuses now, other consumers take over later.
    const settled = await within(
      STOP_REDIS_MS,
      settle().catch(() => false),
    );
    this.#group.close();
    return quiet && settled;
  }

  /** Reads new entries while there is room for them. */
  async #read(): Promise<void> {
    await this.#ready;
    await this.#resume();
    this.#hasResumed = true;
    while (!this.#stopping.signal.aborted) {
      const room = await this.#deliveries.room();
      await this.#group.untilDone(async () => {
        for (const entry of await this.#group.readNew(room)) this.#deliveries.admit(entry, 1);
      });
    }
  }

  /** Takes up what an earlier run under the same name has left. */
  async #resume(): Promise<void> {
    for (let after = '0-0', more = true; more && !this.#stopping.signal.aborted; ) {
      const room = await this.#deliveries.room();
      await this.#group.untilAnswered(async () => {
        const entries = await this.#group.readOwn(after, room);
        await this.#deliveries.admitPending(entries);
        more = entries.length > 0;
        after = entries.at(-1)?.[0] ?? after;
      });
    }
  }

  /** Takes up what a connection that broke has lost. */
  async #recover(): Promise<void> {
    await this.#ready;
    await this.#group.pause(LOST_AFTER_MS);
    if (this.#stopping.signal.aborted) return;
    await this.#group.untilAnswered(() => this.#deliveries.recover(LOST_AFTER_MS));
  }

  /** Looks now and then for entries of consumers that are dead. */
  async #takeOver(): Promise<void> {
    await this.#ready;
    let cursor = '0-0';
    while (!this.#stopping.signal.aborted) {
      const room = await this.#deliveries.room();
      await this.#group.untilAnswered(async () => {
        const [next, entries] = await this.#group.claimIdle(cursor, room);
        cursor = next;
        await this.#deliveries.admitPending(entries);
      });
      if (cursor === '0-0') {
        await this.#group.pause(Math.min(this.#group.settings.claimIdleMs / 2, MAX_CLAIM_INTERVAL_MS));
      }
    }
  }

  /** Touches what is held, so that no consumer takes it for abandoned. */
  async #keepAlive(): Promise<void> {
    await this.#ready;
    for (;;) {
      await this.#group.pause(this.#group.settings.claimIdleMs / 3);
      if (this.#stopping.signal.aborted) return;
      await this.#deliveries.touch();
    }
  }
}

/** Whether a promise resolved (to anything but false) in time. */
async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const late = new AbortController();
  const bound = sleep(ms, false, { signal: late.signal }).catch(() => false);
  const done = await Promise.race([promise.then((value) => value !== false), bound]);
  late.abort();
  return done;
}
