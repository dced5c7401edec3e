/**
 * What another TypeScript service imports: hand in jobs, ask where they stand, read events.
 *
 * @module
 */
export {
  CfwJobProducer,
  type CfwJobProducerOptions,
  type CfwJobRequest,
  type CfwJobStatus,
  type EnqueuedJob,
  InvalidJobError,
} from './queue/index.js';
export * from './subscriber.js';
