import type { CfwJobEvent } from '../events/index.js';
import type { CfwJobEventSubscriberOptions, Delivery } from './options.js';
import { CfwJobEventSubscriber } from './subscriber.js';

/** How to consume; as for `CfwJobEventSubscriber`, except that the body of the loop is the handler. */
export interface ConsumeEventsOptions extends Omit<CfwJobEventSubscriberOptions, 'handler' | 'concurrency'> {
  /** Ends the loop. The event that it is at counts as handled when the loop asks for the next one, and not before. */
  readonly signal?: AbortSignal;
}

/** An event, and what is known of its delivery. */
export interface ConsumedEvent extends Delivery {
  readonly event: CfwJobEvent;
}

/** Where a loop is: the event that was handed out, and how to settle it. */
interface Turn {
  readonly consumed: ConsumedEvent;
  done(): void;
  leave(): void;
}

/**
 * Events of a consumer group as an async iterator, one after the other.
 *
 * An event is acknowledged when the loop comes back for the next one. Leaving the loop (`break`, `return`, an error) leaves
 * the event that it is at for the next one who consumes, with its delivery counted; after `maxDeliveries` it is moved to
 * the dead letters. Several loops, each with a `consumer` of its own, share the events of the group.
 *
 * @throws {InvalidOptionError} naming the option that is invalid.
 * @example
 * ```ts
 * import { hostname } from 'node:os';
 * import { Redis } from 'ioredis';
 * import { consumeEvents } from 'cfw-job-poller';
 *
 * const redis = new Redis('redis://127.0.0.1:6379');
 * for await (const { event, deliveries } of consumeEvents({ redis, group: 'billing', consumer: hostname() })) {
 *   console.log(event.type, event.data.metadata, deliveries); // acknowledged when the loop comes back
 * }
 * ```
 */
export async function* consumeEvents(options: ConsumeEventsOptions): AsyncGenerator<ConsumedEvent, void, void> {
  const { signal, ...rest } = options;
  if (signal?.aborted) return;
  const turns: Turn[] = [];
  let wake = () => {};
  const onAbort = () => wake();
  const subscriber = new CfwJobEventSubscriber({
    ...rest,
    concurrency: 1,
    handler: async (event, delivery) => {
      await new Promise<void>((resolve, reject) => {
        turns.push({
          consumed: { event, ...delivery },
          done: resolve,
          leave: () => reject(new Error('the loop ended')),
        });
        wake();
      });
    },
  });
  signal?.addEventListener('abort', onAbort, { once: true });
  let turn: Turn | undefined;
  try {
    for (;;) {
      turn = turns.shift();
      if (signal?.aborted) return;
      if (turn !== undefined) {
        yield turn.consumed;
        turn.done();
        turn = undefined;
        continue;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (turns.length > 0 || signal?.aborted) resolve();
      });
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    const stopped = subscriber.stop();
    turn?.leave();
    for (const { leave } of turns) leave();
    await stopped;
  }
}
