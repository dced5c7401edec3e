export { type CfwJobEvent, type CfwJobEventData, eventSchema, fromEntry, InvalidEntryError, toEntry } from './event.js';
export { findPublished, type PublishedEvent, publishedKey, type WatchedJob, watchKey } from './published.js';
export {
  type EndedJob,
  EventPublisher,
  type EventPublisherOptions,
  type InvalidQueueJob,
  type PublishableJob,
  type PublishResult,
} from './publisher.js';
export { type ReadEvent, type ReadEventsOptions, readEvents } from './reader.js';
