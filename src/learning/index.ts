export { ScheduleLearner, type ScheduleLearnerOptions } from './learner.js';
export { DurationMemory, type DurationMemoryOptions } from './memory.js';
