export {
  type DeadLetter,
  deadStream,
  dropDeadLetter,
  findDeadLetter,
  listDeadLetters,
  type ReplayResult,
  replayDeadLetter,
} from './dead-letters.js';
export { type ConsumedEvent, type ConsumeEventsOptions, consumeEvents } from './iterator.js';
export type { CfwJobEventSubscriberOptions, Delivery, EventHandler } from './options.js';
export type { PendingEntry } from './pending.js';
export { CfwJobEventSubscriber } from './subscriber.js';
export {
  CfwJobWaiter,
  type CfwJobWaiterOptions,
  EventTrimmedError,
  WaiterClosedError,
  type WaitForJobOptions,
  WaitTimeoutError,
} from './waiter.js';
