/**
 * The half of the library that reads events (`cfw-job-poller/subscriber`). It is a path of its own since it loads without
 * BullMQ, which only producers need.
 *
 * @module
 */
export {
  CfwJobEventSubscriber,
  type CfwJobEventSubscriberOptions,
  CfwJobWaiter,
  type CfwJobWaiterOptions,
  type ConsumedEvent,
  type ConsumeEventsOptions,
  consumeEvents,
  type DeadLetter,
  type Delivery,
  type EventHandler,
  EventTrimmedError,
  WaiterClosedError,
  type WaitForJobOptions,
  WaitTimeoutError,
} from './consumers/index.js';
export {
  type CfwJobEvent,
  type CfwJobEventData,
  fromEntry,
  InvalidEntryError,
  type ReadEvent,
  type ReadEventsOptions,
  readEvents,
  type WatchedJob,
} from './events/index.js';
export { InvalidOptionError, type RedisConnection, RedisUnavailableError } from './redis/index.js';
