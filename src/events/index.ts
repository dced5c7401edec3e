export {
  type DeadLetter,
  deadStream,
  dropDeadLetter,
  findDeadLetter,
  listDeadLetters,
  type ReplayResult,
  replayDeadLetter,
} from './dead-letters.js';
export { type CfwJobEvent, type CfwJobEventData, eventSchema, fromEntry, InvalidEntryError } from './event.js';
export { type ConsumedEvent, type ConsumeEventsOptions, consumeEvents } from './iterator.js';
export { findPublished, type PublishedEvent, type WatchedJob, watchKey } from './memory.js';
export { EventPublisher, type EventPublisherOptions, type JobEnd, type PublishResult } from './publisher.js';
export { type ReadEvent, type ReadEventsOptions, readEvents } from './reader.js';
export { type GroupState, type StreamState, StreamWatch, type StreamWatchOptions } from './stream-watch.js';
export { CfwJobEventSubscriber } from './subscriber.js';
export type { CfwJobEventSubscriberOptions, Delivery, EventHandler } from './subscriber-options.js';
export {
  CfwJobWaiter,
  type CfwJobWaiterOptions,
  EventTrimmedError,
  WaiterClosedError,
  type WaitForJobOptions,
  WaitTimeoutError,
} from './waiter.js';
