import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import type { BaseConfig } from '../config/index.js';
import { parseRequests } from '../queue/index.js';
import { withProducer } from './producer.js';
import type { Terminal } from './terminal.js';

/** Options of `enqueue`. */
export interface EnqueueOptions {
  readonly project: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly metadata: Record<string, unknown> | undefined;
  /** Watches jobs once more that have ended before. */
  readonly again: boolean;
}

/**
 * Hands job ids to the queue, all or none, and prints what became of each.
 *
 * @param jobIds `-` stands for the words of standard input.
 */
export async function enqueue(
  config: BaseConfig,
  jobIds: readonly string[],
  { project, timeoutMs, metadata, again }: EnqueueOptions,
  terminal: Terminal,
): Promise<void> {
  const ids: string[] = [];
  for (const jobId of jobIds) {
    // One by one: a call cannot have hundreds of thousands of arguments.
    for (const id of jobId === '-' ? (await text(process.stdin)).split(/\s+/) : [jobId]) if (id !== '') ids.push(id);
  }
  const watchId = again ? randomUUID() : undefined;
  const requests = ids.map((jobId) => ({ jobId, projectId: project, timeoutMs, metadata, watchId }));
  // What is wrong with the input is said also while Redis is away.
  parseRequests(requests, config.projectId);
  await withProducer(config, async (producer) => {
    const jobs = await producer.enqueueMany(requests);
    for (const { projectId, jobId, state, watchId } of jobs) {
      const note =
        state === 'queued' ? '' : terminal.style('dim', '  (it had ended before; --again watches it once more)');
      const watch = watchId === null ? '' : `  watch ${watchId}`;
      terminal.print(`${state.padEnd(9)}  ${projectId}/${jobId}${watch}${note}`);
    }
  });
}
