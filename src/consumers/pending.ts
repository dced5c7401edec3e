import type { RedisClient } from '../redis/index.js';

/** An entry that was delivered and is not acknowledged, as XPENDING tells it. */
export type PendingEntry = [id: string, consumer: string, idleMs: number, deliveries: number];

/** A stream entry as reads of a group give it; without fields where the stream has trimmed it since. */
export type Entry = [id: string, fields: string[] | null];

/** A member of a consumer group of a stream. */
export interface Consumer {
  readonly stream: string;
  readonly group: string;
  readonly consumer: string;
}

/** Ids in one command. */
export const CHUNK = 1_000;

/** What a consumer has pending, by its ids, page by page. */
export async function* pendingPages(
  redis: RedisClient,
  { stream, group, consumer }: Consumer,
  { first = '-', last = '+' } = {},
): AsyncGenerator<PendingEntry[], void, void> {
  for (let after = first; ; ) {
    const page = (await redis.xpending(stream, group, after, last, CHUNK, consumer)) as PendingEntry[];
    yield page;
    const end = page.at(-1)?.[0];
    if (end === undefined || page.length < CHUNK) return;
    after = `(${end}`;
  }
}

/** What XCLAIM sets. */
export interface ClaimOptions {
  /** The idle time that the entries get, in milliseconds. @default 0 */
  readonly idleMs?: number;
  /** Sets the count of deliveries; where absent it is counted on, unless `keepCount`. */
  readonly deliveries?: number;
  /** Leaves the count of deliveries alone and gives no entries back. */
  readonly keepCount?: boolean;
  /** Makes entries pending that are not. */
  readonly force?: boolean;
}

/** Makes pending entries those of a consumer, whichever consumer has them; what is not pending is passed over. */
export async function claim(
  redis: RedisClient,
  { stream, group, consumer }: Consumer,
  ids: readonly string[],
  { idleMs, deliveries, keepCount = false, force = false }: ClaimOptions = {},
): Promise<(Entry | null)[]> {
  const args: (string | number)[] = [stream, group, consumer, 0, ...ids];
  if (idleMs !== undefined) args.push('IDLE', idleMs);
  if (deliveries !== undefined) args.push('RETRYCOUNT', deliveries);
  if (force) args.push('FORCE');
  if (keepCount) args.push('JUSTID');
  // The types of ioredis know a few orders of these only.
  return (await redis.call('xclaim', ...args)) as (Entry | null)[];
}
