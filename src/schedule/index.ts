export { type ExponentialBackoffOptions, exponentialBackoff, withJitter } from './backoff.js';
export {
  BIN_COUNT,
  binOf,
  binStart,
  type Durations,
  NO_DURATIONS,
  type Observation,
  observe,
  quantile,
  sum,
} from './durations.js';
export {
  isEnough,
  type Knowledge,
  type LearnedSchedule,
  type LearnedScheduleOptions,
  type Load,
  learnedSchedule,
  MIN_JOBS,
  MIN_WATCHED,
  NOTHING_KNOWN,
} from './learned.js';
export { ScheduleLearner, type ScheduleLearnerOptions } from './learner.js';
export { type PlotStep, plotSteps } from './plot.js';
export { DurationStore, type DurationStoreOptions } from './store.js';
