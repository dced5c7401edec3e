import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { CfwJobWaiter, EventTrimmedError, WaitTimeoutError } from '../../consumers/index.js';
import type { WatchedJob } from '../../events/index.js';
import type { CfwJobStatus } from '../../queue/index.js';
import type { RedisClient } from '../../redis/index.js';

/** The longest wait of a request, in seconds. */
const MAX_WAIT_S = 60;
/** After an error of Redis it is asked again after this, in milliseconds. */
const RETRY_MS = 500;

/**
 * The `wait` of a `Prefer` header (RFC 7240), in seconds and at most 60; undefined if there is none. As the standard has it,
 * what cannot be read is no preference, and the first of several counts.
 */
export function preferredWait(header: string | undefined): number | undefined {
  for (const preference of (header ?? '').split(',')) {
    const [token = ''] = preference.split(';');
    const [name = '', value = ''] = token.split('=').map((part) => part.trim());
    if (name.toLowerCase() !== 'wait') continue;
    const digits = value.replace(/^"(.*)"$/, '$1');
    return /^\d{1,9}$/.test(digits) ? Math.min(Number(digits), MAX_WAIT_S) : undefined;
  }
  return undefined;
}

/** What waits need. */
export interface WaitsOptions {
  readonly redis: RedisClient;
  readonly eventStream: string;
  /** Ends all waits at once. */
  readonly closing: AbortSignal;
}

/** Requests that wait for the ends of jobs: all on one connection, which the first of them opens. */
export class Waits {
  readonly #options: WaitsOptions;
  readonly #open = new Set<AbortController>();
  #waiter: CfwJobWaiter | undefined;

  constructor(options: WaitsOptions) {
    this.#options = options;
    options.closing.addEventListener('abort', () => {
      for (const wait of this.#open) wait.abort();
      this.#waiter?.close();
    });
  }

  /**
   * Waits until a job has ended, the time is over, the client has gone or the sidecar stops.
   *
   * @param look asks where the job stands.
   * @returns where it stands then; undefined if it is not known.
   */
  async untilEnded(
    job: WatchedJob,
    look: () => Promise<CfwJobStatus | undefined>,
    waitMs: number,
    response: ServerResponse,
  ): Promise<CfwJobStatus | undefined> {
    const until = Date.now() + waitMs;
    const found = await look();
    if (found === undefined || hasEnded(found) || waitMs === 0 || this.#options.closing.aborted) return found;
    const wait = new AbortController();
    const onClose = () => wait.abort();
    this.#open.add(wait);
    response.once('close', onClose);
    try {
      await this.#untilEvent(job, until, wait.signal);
    } finally {
      this.#open.delete(wait);
      response.off('close', onClose);
    }
    // The client has gone and reads no answer.
    return response.destroyed ? found : await look();
  }

  async #untilEvent(job: WatchedJob, until: number, signal: AbortSignal): Promise<void> {
    const { redis, eventStream } = this.#options;
    for (let left = until - Date.now(); left > 0 && !signal.aborted; left = until - Date.now()) {
      this.#waiter ??= new CfwJobWaiter({ redis, stream: eventStream });
      try {
        await this.#waiter.waitForJob(job, { timeout: left, signal });
        return;
      } catch (error) {
        if (error instanceof WaitTimeoutError || error instanceof EventTrimmedError) return;
        // Redis refused to be read; it may be better in a moment.
        await sleep(Math.min(RETRY_MS, left), undefined, { signal }).catch(() => {});
      }
    }
  }
}

const hasEnded = ({ state }: CfwJobStatus) => state === 'completed' || state === 'failed';
