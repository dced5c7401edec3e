export { type Deadline, deadlineOf } from './deadline.js';
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
export { type PollLoopOptions, type PollLoopResult, pollUntilEnd } from './loop.js';
export { type ExponentialBackoffOptions, exponentialBackoff, type Schedule, withJitter } from './schedule.js';
export {
  type FailedCall,
  type FailureKind,
  type FailureReason,
  type History,
  type JobAnswer,
  type LastError,
  NEW_HISTORY,
  type PollAnswer,
  timedOut,
} from './verdict.js';
