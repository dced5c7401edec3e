export type { FailedCall, FailureKind, JobAnswer, PollAnswer } from './answer.js';
export { type Deadline, deadlineOf } from './deadline.js';
export { type LastError, NEW_HISTORY, type PollHistory } from './history.js';
export { type PollLoopOptions, type PollLoopResult, pollUntilEnd } from './loop.js';
export type { Schedule } from './schedule.js';
export { type FailureReason, type FinalVerdict, timedOut } from './verdict.js';
