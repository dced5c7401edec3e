export { type KindEnvironment, kindEnvironments } from './environments.js';
export type { Fault } from './faults.js';
export type { JobScript, SimulatedJob } from './jobs.js';
export { logNormal, repeatable } from './random.js';
export { type Simulator, type SimulatorOptions, startSimulator } from './server.js';
export type { SimulatedSource } from './sources.js';
