import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { type CfwJobEvent, fromEntry } from '../events/index.js';
import type { RedisClient } from '../redis/index.js';
import { claim } from './pending.js';

/** An entry that a group could not handle. */
export interface DeadLetter {
  /** Its id on the stream of dead letters. */
  readonly letterId: string;
  /** The group that could not handle it; other groups are not concerned. */
  readonly group: string;
  /** The consumer that gave up. */
  readonly consumer: string;
  /** Id of the entry on the stream of events. */
  readonly entryId: string;
  /** How often the entry had been delivered to a consumer of the group. */
  readonly deliveries: number;
  /** Why the last delivery failed, in words. */
  readonly error: string;
  /** When it was moved here: RFC 3339, UTC. */
  readonly time: string;
  /** The entry as it was: field, value, field, value … */
  readonly entry: readonly string[];
  /** The event in it; null if the entry is none, which may be why it is here. */
  readonly event: CfwJobEvent | null;
}

/** What becomes of a dead letter that shall be handled again. */
export type ReplayResult =
  /** The group gets the entry again, with its deliveries counted from 0; the dead letter is gone. */
  | 'replayed'
  /** The stream of events has trimmed the entry; the dead letter stays. */
  | 'trimmed'
  /** The group does not exist any more; the dead letter stays. */
  | 'no-group';

const DEAD_LETTER = readFileSync(new URL('./dead-letter.lua', import.meta.url), 'utf8');

/** Fields and values of another program's entry can be of any size; what is kept of an error is not. */
const MAX_ERROR_LENGTH = 2_000;
/** Dead letters that are read at once. */
const PAGE = 100;
/** Under this name replayed entries wait for a consumer of the group; it never reads anything itself. */
const REPLAY_CONSUMER = 'cfw-job-poller-replay';
/** As if untouched for a day: longer than any sensible idle time after which entries are taken over. */
const REPLAY_IDLE_MS = 86_400_000;

interface WithDeadLetter {
  cfwDeadLetter(stream: string, dead: string, ...args: (string | number)[]): Promise<string | null>;
}

/** The stream of dead letters that belongs to a stream of events. */
export function deadStream(stream: string): string {
  return `${stream}:dead`;
}

/** Prepares a connection for `buryEntry`. */
export function defineDeadLetter(redis: RedisClient): void {
  redis.defineCommand('cfwDeadLetter', { numberOfKeys: 2, lua: DEAD_LETTER });
}

/**
 * Moves a pending entry to the dead letters, in one atomic step.
 *
 * @param redis prepared by `defineDeadLetter`.
 * @returns the dead letter; undefined if the entry was not pending any more.
 */
export async function buryEntry(
  redis: RedisClient,
  stream: string,
  { group, consumer, entryId, deliveries, error, entry }: Omit<DeadLetter, 'letterId' | 'time' | 'event'>,
): Promise<DeadLetter | undefined> {
  const time = new Date().toISOString();
  const why = error.slice(0, MAX_ERROR_LENGTH);
  const fields = { group, consumer, entryId, deliveries: String(deliveries), error: why, time };
  const letterId = await (redis as unknown as WithDeadLetter).cfwDeadLetter(
    stream,
    deadStream(stream),
    group,
    entryId,
    ...Object.entries(fields).flat(),
    'entry',
    JSON.stringify(entry),
  );
  if (letterId === null) return undefined;
  return { letterId, ...fields, deliveries, entry, event: readEvent(entryId, entry) };
}

/** Dead letters, oldest first; those of one group, if one is named. */
export async function* listDeadLetters(
  redis: RedisClient,
  stream: string,
  { group }: { readonly group?: string | undefined } = {},
): AsyncGenerator<DeadLetter, void, void> {
  let after = '-';
  for (;;) {
    const page = await redis.xrange(deadStream(stream), after, '+', 'COUNT', PAGE);
    for (const [letterId, fields] of page) {
      const letter = readLetter(letterId, fields);
      if (group === undefined || letter.group === group) yield letter;
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = `(${last[0]}`;
  }
}

/** One dead letter, or undefined if there is none with this id. */
export async function findDeadLetter(
  redis: RedisClient,
  stream: string,
  letterId: string,
): Promise<DeadLetter | undefined> {
  const [found] = await redis.xrange(deadStream(stream), letterId, letterId);
  return found === undefined ? undefined : readLetter(...found);
}

/**
 * Gives the entry of a dead letter to its group once more: it becomes pending again, idle for so long that the next look
 * for abandoned entries of any consumer takes it. No other group sees it, and the stream gets no second entry.
 */
export async function replayDeadLetter(redis: RedisClient, stream: string, letter: DeadLetter): Promise<ReplayResult> {
  const { group, entryId } = letter;
  const [there] = await redis.xrange(stream, entryId, entryId);
  if (there === undefined) return 'trimmed';
  try {
    const options = { idleMs: REPLAY_IDLE_MS, deliveries: 0, keepCount: true, force: true };
    await claim(redis, { stream, group, consumer: REPLAY_CONSUMER }, [entryId], options);
  } catch (error) {
    if ((error as Error).message.startsWith('NOGROUP')) return 'no-group';
    throw error;
  }
  // A crash before this leaves the dead letter: it may be replayed twice, but it is never lost.
  await redis.xdel(deadStream(stream), letter.letterId);
  return 'replayed';
}

/** Forgets a dead letter. */
export async function dropDeadLetter(redis: RedisClient, stream: string, letterId: string): Promise<void> {
  await redis.xdel(deadStream(stream), letterId);
}

const entrySchema = z.array(z.string());

/** Others can write to the stream of dead letters, too; an invalid one is shown as far as it can be read. */
function readLetter(letterId: string, fields: readonly string[]): DeadLetter {
  const values: Record<string, string | undefined> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) values[fields[i] as string] = fields[i + 1];
  const { group = '', consumer = '', entryId = '', deliveries, error = '', time = '' } = values;
  let entry: string[] = [];
  try {
    entry = entrySchema.parse(JSON.parse(values.entry ?? '[]'));
  } catch {
    // Shown without its entry.
  }
  return {
    letterId,
    group,
    consumer,
    entryId,
    deliveries: Number(deliveries) || 0,
    error,
    time,
    entry,
    event: readEvent(entryId, entry),
  };
}

function readEvent(entryId: string, entry: readonly string[]): CfwJobEvent | null {
  try {
    return fromEntry(entryId, entry);
  } catch {
    return null;
  }
}
