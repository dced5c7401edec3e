import { setTimeout as sleep } from 'node:timers/promises';
import { copyConnection, type RedisClient } from '../redis/index.js';
import { type CfwJobEvent, fromEntry, InvalidEntryError } from './event.js';

/** What to read. */
export interface ReadEventsOptions {
  /** The stream; `{cfw}:events` unless told. */
  readonly stream?: string;
  /** Where to begin: `start` of what the stream holds, its `end` (the default), or after an entry id. */
  readonly from?: 'start' | 'end' | (string & {});
  /** Ends the reading. */
  readonly signal?: AbortSignal;
  /** Told of entries that are no events; they are passed over. */
  readonly onInvalid?: (error: InvalidEntryError) => void;
}

/** An event and the id of its stream entry, from which reading can go on later. */
export interface ReadEvent {
  readonly entryId: string;
  readonly event: CfwJobEvent;
}

/** The longest that Redis lets a read wait; then it is asked again, which finds connections that died in silence. */
const BLOCK_MS = 5_000;
const BATCH = 500;
/** What Redis says in a failover or while it starts, and what ioredis says when it has looked for the right node in vain. */
const PASSING =
  /^(UNBLOCKED|READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)|^Too many Cluster redirections|^Failed to refresh/;
const PASSING_PAUSE_MS = 500;

/**
 * Reads events as they appear, for as long as the caller goes on; after a lost connection it goes on behind the last entry.
 * It keeps no state in Redis: each reader sees every event.
 *
 * @param redis its connection is copied, since a read that waits blocks the connection it is on.
 */
export async function* readEvents(
  redis: RedisClient,
  options: ReadEventsOptions = {},
): AsyncGenerator<ReadEvent, void, void> {
  const { stream = '{cfw}:events', from = 'end', signal, onInvalid } = options;
  if (signal?.aborted) return;
  const connection = copyConnection(redis);
  const stop = () => connection.disconnect();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    // "$" would mean another place with each call, so the end is looked up once.
    let last = from === 'start' ? '0-0' : from;
    if (from === 'end') last = (await connection.xrevrange(stream, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0-0';
    for (;;) {
      let batches: Awaited<ReturnType<typeof connection.xread>>;
      try {
        batches = await connection.xread('COUNT', BATCH, 'BLOCK', BLOCK_MS, 'STREAMS', stream, last);
      } catch (error) {
        if (signal?.aborted || !PASSING.test((error as Error).message)) throw error;
        await sleep(PASSING_PAUSE_MS);
        continue;
      }
      for (const [, entries] of batches ?? []) {
        for (const [entryId, fields] of entries) {
          last = entryId;
          const event = tryParse(entryId, fields, onInvalid);
          if (event !== undefined) yield { entryId, event };
          if (signal?.aborted) return;
        }
      }
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
    connection.disconnect();
  }
}

function tryParse(
  entryId: string,
  fields: readonly string[],
  onInvalid: ReadEventsOptions['onInvalid'],
): CfwJobEvent | undefined {
  try {
    return fromEntry(entryId, fields);
  } catch (error) {
    if (!(error instanceof InvalidEntryError)) throw error;
    onInvalid?.(error);
    return undefined;
  }
}
