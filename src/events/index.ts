export { type CfwJobEvent, type CfwJobEventData, fromEntry, InvalidEntryError } from './event.js';
export { findPublished, type PublishedEvent, type WatchedJob, watchKey } from './memory.js';
export { EventPublisher, type EventPublisherOptions, type JobEnd, type PublishResult } from './publisher.js';
export { type ReadEvent, type ReadEventsOptions, readEvents } from './reader.js';
