import type { CfwJobEvent } from '../events/index.js';
import { checkConnection, InvalidOptionError, type RedisConnection } from '../redis/index.js';
import type { DeadLetter } from './dead-letters.js';

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
  /**
   * A connection to Redis; it stays the caller's. Two copies of it are made, one for reading and one for the rest. They have
   * its address and login and none of its other options. It must not have a `keyPrefix`.
   */
  readonly redis: RedisConnection;
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
  /**
   * Redis cannot be reached, is silent, or answered with an error; what was tried is tried again. Without this,
   * `process.emitWarning` reports errors that last for 5 seconds.
   */
  readonly onError?: (error: Error) => void;
  /** @deprecated Use `onError`. */
  readonly onTrouble?: (error: Error) => void;
}

type Observers = 'onRetry' | 'onDeadLetter' | 'onTrimmed' | 'onError';

/** The options with their defaults. */
export type SubscriberSettings = Required<Omit<CfwJobEventSubscriberOptions, 'redis' | 'onTrouble' | Observers>> &
  Pick<CfwJobEventSubscriberOptions, Observers>;

/** What Node's timers can wait. */
const MAX_DELAY_MS = 2_147_483_647;

const isName = (text: unknown) => typeof text === 'string' && text !== '';

/** @throws {InvalidOptionError} naming the option that is invalid. */
export function withDefaults({ redis, onTrouble, ...options }: CfwJobEventSubscriberOptions): SubscriberSettings {
  checkConnection(redis);
  const onError = options.onError ?? onTrouble;
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
    ...(onError === undefined ? {} : { onError }),
  };
  for (const name of ['stream', 'group', 'consumer'] as const) {
    if (!isName(whole[name])) {
      throw new InvalidOptionError(name, `${name} is invalid: ${JSON.stringify(whole[name])}; expected a name`);
    }
  }
  if (!/^(start|end|\d+(-\d+)?)$/.test(whole.from)) {
    throw new InvalidOptionError('from', `from is invalid: "${whole.from}"; expected start, end or the id of an entry`);
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
      throw new InvalidOptionError(name, `${name} is invalid: ${value}; expected a whole number from ${min} to ${max}`);
    }
  }
  return whole;
}
