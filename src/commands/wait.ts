import type { BaseConfig } from '../config/index.js';
import { CfwJobWaiter, EventTrimmedError, WaitTimeoutError } from '../consumers/index.js';
import type { WatchedJob } from '../events/index.js';
import { formatDuration } from '../lib/duration.js';
import type { CfwJobProducer } from '../queue/index.js';
import { commandRedis } from '../redis/index.js';
import { withProducer } from './producer.js';
import { checkReadable } from './readable.js';
import type { Terminal } from './terminal.js';
import { eventLine } from './watch.js';

/** Options of `wait`. */
export interface WaitOptions {
  /** How long to wait for all of them, in milliseconds. */
  readonly timeoutMs: number;
  /** One JSON object a line. */
  readonly json: boolean;
}

/** How a wait came out: what its exit code says. One that failed counts for more than one that ran out of time. */
export type WaitOutcome = 'completed' | 'failed' | 'timed out';

/** Waits until all jobs have ended and prints each event as it comes. */
export async function wait(
  config: BaseConfig,
  jobs: readonly WatchedJob[],
  options: WaitOptions,
  terminal: Terminal,
): Promise<WaitOutcome> {
  return await withProducer(config, (producer) => waitForAll(config, producer, jobs, options, terminal));
}

/** The same with a producer at hand. */
export async function waitForAll(
  config: BaseConfig,
  producer: Pick<CfwJobProducer, 'status'>,
  jobs: readonly WatchedJob[],
  { timeoutMs, json }: WaitOptions,
  terminal: Terminal,
): Promise<WaitOutcome> {
  const redis = await commandRedis(config.redis);
  let isWaiting = false;
  const onError = ({ message }: Error) => {
    if (!isWaiting) process.stderr.write(`Redis cannot be read, waiting for it: ${message}\n`);
    isWaiting = true;
  };
  const waiter = new CfwJobWaiter({ redis, stream: config.events.stream, onError });
  const until = Date.now() + timeoutMs;
  const one = async (job: WatchedJob): Promise<WaitOutcome> => {
    const name = `${job.projectId}/${job.jobId}`;
    try {
      if ((await producer.status(job)) === undefined) {
        process.stderr.write(`${name} is not known: never enqueued, or ended and forgotten (EVENT_DEDUP_TTL)\n`);
        return 'failed';
      }
      const event = await waiter.waitForJob(job, { timeout: Math.max(1, until - Date.now()) });
      terminal.print(json ? JSON.stringify(event) : eventLine(event, terminal));
      return event.data.status;
    } catch (error) {
      if (error instanceof WaitTimeoutError) {
        process.stderr.write(`${name} has not ended within ${formatDuration(timeoutMs)}\n`);
        return 'timed out';
      }
      if (!(error instanceof EventTrimmedError)) throw error;
      process.stderr.write(`${error.message}\n`);
      return error.status;
    }
  };
  try {
    await checkReadable(redis, config.events.stream);
    const outcomes = await Promise.all(jobs.map(one));
    return (['failed', 'timed out'] as const).find((outcome) => outcomes.includes(outcome)) ?? 'completed';
  } finally {
    waiter.close();
    redis.disconnect();
  }
}
