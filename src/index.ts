/**
 * What another TypeScript service imports: hand in jobs, ask where they stand, read events.
 *
 * @module
 */
export {
  type CfwJobEvent,
  type CfwJobEventData,
  fromEntry,
  InvalidEntryError,
  type ReadEvent,
  type ReadEventsOptions,
  readEvents,
} from './events/index.js';
export {
  CfwJobProducer,
  type CfwJobProducerOptions,
  type CfwJobRequest,
  type CfwJobStatus,
  type EnqueuedJob,
  InvalidJobError,
} from './queue/index.js';
