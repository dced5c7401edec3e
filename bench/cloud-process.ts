/** The simulator as a process of its own: the cloud is not what is measured. */
import { type JobScript, type SimulatedJob, startSimulator } from '../src/simulator/index.js';
import { answer } from './processes.js';

const simulator = await startSimulator();
let jobs: SimulatedJob[] = [];

answer({
  url: () => simulator.url,
  /** Makes jobs; from then on only those are told about. */
  jobs: (scripts: readonly JobScript[]) => {
    jobs = scripts.map((script) => simulator.addJob(script));
    return jobs.map(({ jobId }) => jobId);
  },
  calls: () => simulator.calls(),
  /** When calls for each job came, and when it ends. */
  callTimes: () => jobs.map(({ jobId, callTimes, endsAt }) => ({ jobId, callTimes, endsAt })),
});
