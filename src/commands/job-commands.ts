import { type Command, InvalidArgumentError, Option } from 'commander';
import { type BaseConfig, ConfigError, loadBaseConfig } from '../config/index.js';
import type { WatchedJob } from '../events/index.js';
import { ID_PATTERN } from '../lib/id.js';
import { readJobIds } from './job-ids.js';
import type { Terminal } from './terminal.js';

/** A wait ran out of time. */
export const TIME_RAN_OUT = 3;
const FAILED = 1;
const DEFAULT_LIMIT = 50;

/** What the commands of jobs share with the others. */
export interface JobCommandsOptions {
  readonly terminal: Terminal;
  readonly setExitCode: (code: number) => void;
  /** Reads an option's id, and its duration. */
  readonly id: (text: string) => string;
  readonly duration: (text: string) => number;
}

/** Adds `list`, `wait` and `cancel`. */
export function addJobCommands(program: Command, { terminal, setExitCode, id, duration }: JobCommandsOptions): void {
  const jobIds = 'ids of CFW jobs; - reads them from standard input';
  const ofJobs = (command: Command) =>
    command
      .argument('<jobId...>', jobIds)
      .option('--project <id>', 'project of the jobs (default: CFW_PROJECT_ID)', id)
      .option('--watch <id>', 'the further watch, as enqueue --again names it', id);

  program
    .command('list')
    .description('print jobs: queued ones, then polling ones, then ended ones')
    .addOption(
      new Option('--state <state>', 'those in one state').choices(['queued', 'polling', 'completed', 'failed']),
    )
    .option('--project <id>', 'those of one project', id)
    .option('--limit <number>', 'jobs at most', wholeNumber, DEFAULT_LIMIT)
    .option('--json', 'one JSON object a line', false)
    .action(async ({ state, project, limit, json }) => {
      const { list } = await import('./list.js');
      await list(loadBaseConfig(process.env), { state, project, limit, json }, terminal);
    });

  ofJobs(program.command('wait'))
    .description('wait until jobs have ended; exit code 1: one failed or is not known, 3: the time ran out')
    .option('--timeout <duration>', 'how long to wait for all of them', duration, 1_800_000)
    .option('--json', 'one JSON object a line', false)
    .action(async (given: string[], { project, watch, timeout, json }) => {
      const config = loadBaseConfig(process.env);
      const jobs = await watchedJobs(config, given, project, watch);
      const { wait } = await import('./wait.js');
      setExitCode(exitCodeOf(await wait(config, jobs, { timeoutMs: timeout, json }, terminal)));
    });

  ofJobs(program.command('cancel'))
    .description('stop watching jobs, each with an event CANCELLED; the CFW jobs themselves go on')
    .action(async (given: string[], { project, watch }) => {
      const config = loadBaseConfig(process.env);
      const jobs = await watchedJobs(config, given, project, watch);
      const { cancel } = await import('./cancel.js');
      if (!(await cancel(config, jobs, terminal))) setExitCode(FAILED);
    });
}

/** The exit code of a wait. */
export function exitCodeOf(outcome: 'completed' | 'failed' | 'timed out'): number {
  return { completed: 0, failed: FAILED, 'timed out': TIME_RAN_OUT }[outcome];
}

/**
 * The jobs that a command was given, checked before anything outside is asked.
 *
 * @throws {ConfigError} naming each id that is invalid.
 */
async function watchedJobs(
  config: BaseConfig,
  given: readonly string[],
  project: string | undefined,
  watchId: string | undefined,
): Promise<WatchedJob[]> {
  const projectId = project ?? config.projectId;
  const jobIds = await readJobIds(given);
  const problems = jobIds
    .filter((jobId) => !ID_PATTERN.test(jobId))
    .map((jobId) => `${JSON.stringify(jobId)} is no job id: expected 1 to 64 characters of A-Z a-z 0-9 _ -`);
  if (jobIds.length === 0) problems.push('no job ids were given');
  if (projectId === undefined) problems.push('--project or CFW_PROJECT_ID is needed: the project of the jobs');
  if (problems.length > 0 || projectId === undefined) throw new ConfigError(problems);
  return jobIds.map((jobId) => ({ projectId, jobId, watchId }));
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected a whole number from 1 on.');
  return Number(text);
}
