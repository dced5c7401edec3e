export { announceEndpoint, type CancelResult, UnknownEndpointError } from './cancel.js';
export { InvalidCursorError } from './cursor.js';
export type { Backlog, Duty } from './housekeeper.js';
export { JOB_STATES, QueueInspector, type QueueState } from './inspector.js';
export {
  type CfwJobRequest,
  type InvalidJob,
  jobDataSchema,
  MAX_METADATA_BYTES,
  MAX_TIMEOUT_MS,
  type PollJob,
} from './job.js';
export { type JobEventMap, JobEvents, type PolledJob } from './job-events.js';
export { CFW_JOB_STATES, type CfwJobState, type CfwJobStatus, type CfwListedJob } from './job-status.js';
export { type JobPage, type ListJobsOptions, MAX_LIMIT } from './listing.js';
export { type QueueLoad, queueLoad } from './load.js';
export {
  type CancelledJob,
  CfwJobProducer,
  type CfwJobProducerOptions,
  type EnqueuedJob,
  InvalidJobError,
  parseRequests,
} from './producer.js';
export { type Progress, parseProgress } from './progress.js';
export { JobWorker } from './worker.js';
export type { JobResult, JobWorkerOptions } from './worker-options.js';
