import type { BaseConfig } from '../config/index.js';
import { type CfwJobEvent, readEvents } from '../events/index.js';
import { formatDuration } from '../lib/duration.js';
import { withCommandRedis } from '../redis/index.js';
import { checkReadable } from './readable.js';
import type { Terminal } from './terminal.js';

/** Options of `watch`. */
export interface WatchOptions {
  readonly fromStart: boolean;
  readonly json: boolean;
  /** Ends when no event appeared for so long, in milliseconds. */
  readonly untilIdleMs: number | undefined;
}

/** Prints events as they appear, until told to stop or until none has come for a while. */
export async function watch(
  config: BaseConfig,
  { fromStart, json, untilIdleMs }: WatchOptions,
  terminal: Terminal,
  stop: AbortSignal,
): Promise<void> {
  const done = new AbortController();
  const onStop = () => done.abort();
  stop.addEventListener('abort', onStop, { once: true });
  let idle: NodeJS.Timeout | undefined;
  const restartIdle = () => {
    clearTimeout(idle);
    if (untilIdleMs !== undefined) idle = setTimeout(onStop, untilIdleMs);
  };
  let isWaiting = false;
  const onError = ({ message }: Error) => {
    if (!isWaiting) process.stderr.write(`Redis cannot be read, waiting for it: ${message}\n`);
    isWaiting = true;
  };
  try {
    await withCommandRedis(config.redis, async (redis) => {
      await checkReadable(redis, config.events.stream);
      if (!json && terminal.isTerminal) terminal.print(terminal.style('dim', HEADER));
      restartIdle();
      const options = {
        stream: config.events.stream,
        from: fromStart ? 'start' : 'end',
        signal: done.signal,
        onInvalid: ({ message }: Error) => process.stderr.write(`${message}\n`),
        onError,
      };
      for await (const { event } of readEvents(redis, options)) {
        terminal.print(json ? JSON.stringify(event) : eventLine(event, terminal));
        await terminal.room(done.signal);
        isWaiting = false;
        restartIdle();
      }
    });
  } finally {
    clearTimeout(idle);
    stop.removeEventListener('abort', onStop);
  }
}

const columns = (time: string, status: string, reason: string, polls: string, took: string, job: string) =>
  `${time.padEnd(24)}  ${status.padEnd(9)}  ${reason.padEnd(15)}  ${polls.padStart(5)}  ${took.padStart(7)}  ${job}`;

const HEADER = columns('PUBLISHED', 'STATUS', 'REASON', 'POLLS', 'TOOK', 'PROJECT/JOB');

/** One event as a line of aligned columns; `took` is the time from enqueueing to the event. */
export function eventLine({ time, id, data }: CfwJobEvent, terminal: Pick<Terminal, 'style'>): string {
  const took = formatDuration(Math.max(0, Date.parse(time) - Date.parse(data.enqueuedAt)));
  const job = data.projectId === null ? id : `${data.projectId}/${id}`;
  const line = columns(time, data.status, data.reason ?? '-', String(data.polls), took, job);
  const colour = data.status === 'completed' ? 'green' : 'red';
  return line.replace(data.status, terminal.style(colour, data.status));
}
