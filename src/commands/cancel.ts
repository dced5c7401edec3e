import type { BaseConfig } from '../config/index.js';
import type { WatchedJob } from '../events/index.js';
import { withProducer } from './producer.js';
import type { Terminal } from './terminal.js';

/**
 * Stops watching jobs, and prints what became of each.
 *
 * @returns whether all were known.
 */
export async function cancel(config: BaseConfig, jobs: readonly WatchedJob[], terminal: Terminal): Promise<boolean> {
  return await withProducer(config, async (producer) => {
    const results = await producer.cancelMany(jobs);
    for (const [n, { result, job }] of results.entries()) {
      const { projectId, jobId, watchId } = jobs[n] as WatchedJob;
      const watch = watchId == null ? '' : `  watch ${watchId}`;
      const note = result === 'ended' ? terminal.style('dim', `  (it had ${job?.state ?? 'ended'} before)`) : '';
      terminal.print(`${result.padEnd(9)}  ${projectId}/${jobId}${watch}${note}`);
    }
    return results.every(({ result }) => result !== 'unknown');
  });
}
