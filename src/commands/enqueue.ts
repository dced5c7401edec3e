import { randomUUID } from 'node:crypto';
import { type BaseConfig, ConfigError } from '../config/index.js';
import { parseRequests } from '../queue/index.js';
import { readJobIds } from './job-ids.js';
import { withProducer } from './producer.js';
import type { Terminal } from './terminal.js';
import type { WaitOutcome } from './wait.js';

/** Options of `enqueue`. */
export interface EnqueueOptions {
  readonly project: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly metadata: Record<string, unknown> | undefined;
  /** Watches jobs once more that have ended before. */
  readonly again: boolean;
  /** Waits until all have ended. */
  readonly wait: boolean;
}

/** The events of jobs that time out come a little after their timeout. */
const WAIT_MARGIN_MS = 60_000;

/**
 * Hands job ids to the queue, all or none, and prints what became of each.
 *
 * @param jobIds `-` stands for the words of standard input.
 * @returns how the wait for them came out; `completed` without one.
 */
export async function enqueue(
  config: BaseConfig,
  jobIds: readonly string[],
  { project, timeoutMs, metadata, again, wait }: EnqueueOptions,
  terminal: Terminal,
): Promise<WaitOutcome> {
  const ids = await readJobIds(jobIds);
  if (ids.length === 0) throw new ConfigError(['no job ids were given']);
  const watchId = again ? randomUUID() : undefined;
  const requests = ids.map((jobId) => ({ jobId, projectId: project, timeoutMs, metadata, watchId }));
  // What is wrong with the input is said also while Redis is away.
  parseRequests(requests, config.projectId);
  return await withProducer(config, async (producer) => {
    const jobs = await producer.enqueueMany(requests);
    for (const { projectId, jobId, state, watchId } of jobs) {
      const note =
        state === 'queued' ? '' : terminal.style('dim', '  (it had ended before; --again watches it once more)');
      const watch = watchId === null ? '' : `  watch ${watchId}`;
      terminal.print(`${state.padEnd(9)}  ${projectId}/${jobId}${watch}${note}`);
    }
    if (!wait) return 'completed';
    const { waitForAll } = await import('./wait.js');
    const longest = (timeoutMs ?? config.polling.timeoutMs) + WAIT_MARGIN_MS;
    return await waitForAll(config, producer, jobs, { timeoutMs: longest, json: false }, terminal);
  });
}
