import { setTimeout as sleep } from 'node:timers/promises';
import { isCluster, type RedisClient } from './client.js';
import { isDemoted, isPassing, RedisUnavailableError } from './errors.js';

/** After this time without an answer to a command that does not block, a connection counts as dead. */
export const SILENT_MS = 5_000;
/** The pause between two tries while Redis is in a passing state. */
const PASSING_PAUSE_MS = 250;

/** How to ask. */
export interface AskOptions {
  /** After this many milliseconds without an answer the connection is replaced. @default 5000 */
  readonly silentMs?: number;
  /** Gives up after this many milliseconds. @default no limit */
  readonly withinMs?: number | undefined;
  /** Gives up when aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each error after which Redis is asked again. */
  readonly onError?: ((error: Error) => void) | undefined;
}

/**
 * Asks Redis until it answers: a passing state (a failover, a start, a long script) is waited out, a connection that has
 * gone silent or leads to a replica is replaced.
 *
 * @param command must be safe to run twice.
 * @throws {RedisUnavailableError} after `withinMs`, with the last error as its cause.
 * @throws the reason of `signal`, and each answer of Redis that is no passing state.
 */
export async function ask<T>(
  redis: RedisClient,
  command: () => Promise<T>,
  { silentMs, withinMs, signal, onError }: AskOptions = {},
): Promise<T> {
  const stop = new AbortController();
  let last: unknown = new Error('no answer');
  const giveUp = () => {
    const seconds = Math.round((withinMs ?? 0) / 100) / 10;
    const message = `Redis cannot be used: nothing but "${(last as Error).message}" for ${seconds} s`;
    stop.abort(new RedisUnavailableError(message, { cause: last }));
  };
  const onAbort = () => stop.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = withinMs === undefined ? undefined : setTimeout(giveUp, withinMs);
  const stopped = new Promise<never>((_, reject) => {
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason), { once: true });
  });
  stopped.catch(() => {});
  const report = (error: Error) => {
    last = error;
    onError?.(error);
  };
  try {
    for (;;) {
      stop.signal.throwIfAborted();
      try {
        return await answered(redis, Promise.race([command(), stopped]), silentMs, report);
      } catch (error) {
        if (stop.signal.aborted || !isPassing(error)) throw error;
        report(error as Error);
        if (isDemoted(error)) reconnect(redis);
        await sleep(PASSING_PAUSE_MS, undefined, { signal: stop.signal }).catch(() => {});
      }
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** How often it is looked whether an answer can still come, in milliseconds. */
const LOOK_MS = 1_000;

/**
 * Waits for an answer, and replaces the connection each time that none has come for a while: its other end may be gone
 * without a word. ioredis then sends the command again.
 *
 * @param signal no answer is waited for any more once it is aborted: ioredis does not answer commands of a connection that is
 *   closed while it is being made again.
 * @throws if the connection was closed for good, or `signal` is aborted.
 */
export async function answered<T>(
  redis: RedisClient,
  answer: Promise<T>,
  silentMs = SILENT_MS,
  onSilence?: (error: Error) => void,
  signal?: AbortSignal,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const closed = new Promise<never>((_, reject) => {
    const everyMs = Math.min(LOOK_MS, silentMs);
    // It counts rounds rather than the time that has passed: a process that was suspended must not blame Redis.
    let rounds = 0;
    timer = setInterval(() => {
      if (redis.status === 'end' || signal?.aborted === true) reject(new Error('the connection to Redis was closed'));
      rounds += 1;
      if (rounds * everyMs < silentMs) return;
      rounds = 0;
      if (reconnect(redis)) onSilence?.(new Error(`Redis has not answered for ${silentMs / 1_000} s; reconnecting`));
    }, everyMs);
  });
  try {
    return await Promise.race([answer, closed]);
  } finally {
    clearInterval(timer);
  }
}

/**
 * Replaces a connection, unless that is under way.
 *
 * @returns whether it was connected.
 */
export function reconnect(redis: RedisClient): boolean {
  // Not yet ready counts, too: ioredis waits without a bound for the answers to its greeting.
  if (redis.status !== 'ready' && redis.status !== 'connect') return false;
  redis.disconnect(true);
  // What has been sent and not answered is sent again, so there is nothing to wait for.
  if (!isCluster(redis)) redis.stream.destroy();
  return true;
}
