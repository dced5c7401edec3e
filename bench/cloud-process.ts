/** The simulator as a process of its own: the cloud is not what is measured. */
import { type JobScript, type SimulatedJob, startSimulator } from '../src/simulator/index.js';
import { answer } from './processes.js';

const simulator = await startSimulator();
const jobs = new Map<string, SimulatedJob>();
let made: readonly SimulatedJob[] = [];

answer({
  url: () => simulator.url,
  jobs: (scripts: readonly JobScript[]) => {
    made = scripts.map((script) => simulator.addJob(script));
    for (const job of made) jobs.set(job.jobId, job);
    return made.map(({ jobId }) => jobId);
  },
  calls: () => simulator.calls(),
  /** When calls for each job came, and when it ends; for the jobs that were made last unless others are named. */
  callTimes: (jobIds?: readonly string[]) =>
    (jobIds?.map((jobId) => jobs.get(jobId) as SimulatedJob) ?? made).map(({ jobId, callTimes, endsAt }) => ({
      jobId,
      callTimes,
      endsAt,
    })),
});
