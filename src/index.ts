/**
 * What another TypeScript service imports: hand in jobs, ask where they stand, read events.
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
export {
  type CancelledJob,
  CfwJobProducer,
  type CfwJobProducerOptions,
  type CfwJobRequest,
  type CfwJobState,
  type CfwJobStatus,
  type CfwListedJob,
  type EnqueuedJob,
  InvalidCursorError,
  InvalidJobError,
  type JobPage,
  type ListJobsOptions,
  UnknownEndpointError,
} from './queue/index.js';
export { InvalidOptionError, type RedisConnection, RedisUnavailableError } from './redis/index.js';
