import type { BaseConfig } from '../config/index.js';
import { withProducer } from './producer.js';
import type { Terminal } from './terminal.js';

/**
 * Prints where one job stands.
 *
 * @returns whether the job is known.
 */
export async function status(
  config: BaseConfig,
  { projectId, jobId, watchId }: { projectId: string; jobId: string; watchId: string | undefined },
  terminal: Terminal,
  json = false,
): Promise<boolean> {
  return await withProducer(config, async (producer) => {
    const found = await producer.status({ projectId, jobId, watchId });
    if (found === undefined) {
      process.stderr.write(
        `${projectId}/${jobId} is not known: never enqueued, or ended and forgotten (EVENT_DEDUP_TTL)\n`,
      );
      return false;
    }
    if (json) {
      terminal.print(JSON.stringify(found));
      return true;
    }
    const { state, event, lastError } = found;
    const colour = { queued: 'cyan', polling: 'cyan', completed: 'green', failed: 'red' } as const;
    const rows: [string, string | number | null | undefined][] = [
      ['job', jobId],
      ['project', projectId],
      ['watch', found.watchId],
      ['state', terminal.style(colour[state], state)],
      ['reason', event?.data.reason],
      ['message', event?.data.message],
      ['CFW status', found.cfwStatus],
      ['polls', found.polls],
      ['next poll', found.nextPollAt],
      ['last error', lastError === null ? null : `${lastError.code}: ${lastError.message}`],
      ['enqueued', found.enqueuedAt],
      ['began', event?.data.beginTime],
      ['ended', event?.data.endTime],
      ['published', event?.time],
    ];
    for (const [label, value] of rows) {
      if (value != null) terminal.print(`${terminal.style('dim', label.padEnd(11))}${value}`);
    }
    return true;
  });
}
