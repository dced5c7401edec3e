export { type CfwJobEvent, type CfwJobEventData, eventSchema, fromEntry, InvalidEntryError } from './event.js';
export { findPublished, type PublishedEvent, type WatchedJob, watchKey } from './published.js';
export { EventPublisher, type EventPublisherOptions, type JobEnd, type PublishResult } from './publisher.js';
export { type ReadEvent, type ReadEventsOptions, readEvents } from './reader.js';
