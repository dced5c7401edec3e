export { type Deadline, deadlineOf } from './deadline.js';
export { type PollLoopOptions, type PollLoopResult, pollUntilEnd } from './loop.js';
export type { Schedule } from './schedule.js';
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
