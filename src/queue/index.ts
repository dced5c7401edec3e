export { JOB_STATES, QueueInspector, type QueueState } from './inspector.js';
export {
  type CfwJobRequest,
  jobDataSchema,
  MAX_METADATA_BYTES,
  MAX_TIMEOUT_MS,
  type PollJob,
  type UnfitJob,
} from './job.js';
export { type QueueLoad, queueLoad } from './load.js';
export {
  CfwJobProducer,
  type CfwJobProducerOptions,
  type CfwJobStatus,
  type EnqueuedJob,
  InvalidJobError,
  parseRequests,
} from './producer.js';
export { type Progress, parseProgress } from './progress.js';
export { JobWorker } from './worker.js';
export type { EndedJob, JobObserver, JobResult, JobWorkerOptions } from './worker-options.js';
