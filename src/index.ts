/**
 * What another TypeScript service imports: hand in jobs, ask where they stand, read events.
 *
 * @module
 */
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
export * from './subscriber.js';
