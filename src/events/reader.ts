import { ask, checkConnection, copyConnection, type RedisConnection } from '../redis/index.js';
import { type CfwJobEvent, fromEntry, InvalidEntryError } from './event.js';

/** What to read. */
export interface ReadEventsOptions {
  /** The stream. @default '{cfw}:events' */
  readonly stream?: string;
  /** Where to begin: `start` of what the stream holds, its `end`, or after an entry id. @default 'end' */
  readonly from?: 'start' | 'end' | (string & {});
  /** Ends the reading. */
  readonly signal?: AbortSignal;
  /** Called for each entry that is no event; it is passed over. */
  readonly onInvalid?: (error: InvalidEntryError) => void;
  /** Called when Redis is away, silent, or answers with a passing error; the read goes on by itself. */
  readonly onError?: (error: Error) => void;
}

/** An event and the id of its stream entry, from which reading can go on later. */
export interface ReadEvent {
  readonly entryId: string;
  readonly event: CfwJobEvent;
}

/** The longest that Redis lets a read wait; then it is asked again. */
const BLOCK_MS = 5_000;
/** A read that has brought nothing for this long, not even that there is nothing, has lost its connection. */
const SILENT_MS = BLOCK_MS + 3_000;
const BATCH = 500;

/**
 * Reads events as they appear, for as long as the caller goes on; after a lost connection it goes on behind the last entry.
 * It keeps no state in Redis: each reader sees every event.
 *
 * @param redis is copied, since a read that waits blocks the connection it is on. The copy has the address and the login of
 *   this connection and none of its other options.
 * @throws {InvalidOptionError} if the connection cannot be used.
 * @example
 * ```ts
 * import { Redis } from 'ioredis';
 * import { readEvents } from 'cfw-job-poller';
 *
 * const redis = new Redis('redis://127.0.0.1:6379');
 * for await (const { event, entryId } of readEvents(redis, { from: 'start' })) {
 *   console.log(entryId, event.type, event.data.jobId, event.data.reason);
 * }
 * ```
 */
export function readEvents(
  redis: RedisConnection,
  options: ReadEventsOptions = {},
): AsyncGenerator<ReadEvent, void, void> {
  checkConnection(redis);
  return read(redis, options);
}

async function* read(redis: RedisConnection, options: ReadEventsOptions): AsyncGenerator<ReadEvent, void, void> {
  const { stream = '{cfw}:events', from = 'end', signal, onInvalid, onError } = options;
  if (signal?.aborted) return;
  const connection = copyConnection(redis, onError);
  const patience = { silentMs: SILENT_MS, signal, onError };
  try {
    // "$" would mean another place with each call, so the end is looked up once.
    let last = from === 'start' ? '0-0' : from;
    if (from === 'end') {
      const newest = await ask(connection, () => connection.xrevrange(stream, '+', '-', 'COUNT', 1), patience);
      last = newest[0]?.[0] ?? '0-0';
    }
    for (;;) {
      const batches = await ask(
        connection,
        () => connection.xread('COUNT', BATCH, 'BLOCK', BLOCK_MS, 'STREAMS', stream, last),
        patience,
      );
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
