import type { PendingEntry } from '../consumers/index.js';
import type { RedisClient } from '../redis/index.js';

/** What to watch. */
export interface StreamWatchOptions {
  readonly redis: RedisClient;
  readonly stream: string;
  /** `EVENT_STREAM_MAXLEN`; 0 never trims, and then nothing is ever in danger. */
  readonly maxLength: number;
  /** Runs once when a group comes into danger, and again when it does after it had been out of it. */
  readonly onDanger?: (group: GroupState) => void;
  /** Runs when entries were trimmed that a group had not acknowledged; `lost` is how many more than at the last look. */
  readonly onLost?: (group: GroupState, lost: number) => void;
}

/** Where a group stands. */
export interface GroupState {
  readonly group: string;
  /** Entries that were never delivered to the group; null if Redis does not know (before 7.0, or after XDEL). */
  readonly lag: number | null;
  /** Entries that were delivered and are not acknowledged. */
  readonly pending: number;
  /** About how many entries can still be appended before the oldest unacknowledged one is trimmed; null if it never is. */
  readonly room: number | null;
  /** Whether that is less than a tenth of the stream. */
  readonly endangered: boolean;
  /** Entries that are known to have been trimmed before the group acknowledged them, in the time of this watch. */
  readonly lost: number;
}

/** Where the stream stands; plain numbers, for metrics. */
export interface StreamState {
  readonly length: number;
  readonly groups: readonly GroupState[];
  /** How often a group came into danger, in the time of this watch. */
  readonly dangers: number;
}

/** A group is in danger when less than this share of the stream is left. */
const DANGER_SHARE = 0.1;
/** Points kept to tell how far apart two entries are. */
const MAX_POINTS = 500;
/** Pending entries that are looked at to count those that were trimmed. */
const MAX_TRIMMED = 1_000;

/** A place on the stream: the id of an entry, and how many had been appended up to it. */
interface Point {
  readonly at: number;
  readonly count: number;
}

/** What is remembered of a group to count what it lost. */
interface Losses {
  /** How many entries had been appended up to the last one that was delivered. */
  read: number | undefined;
  undelivered: number;
  readonly pending: Set<string>;
}

/**
 * Whether trimming is about to take, or has taken, what a group has not acknowledged.
 *
 * A look costs a handful of small commands, however long the stream is: Redis counts what was appended, and where an entry
 * stands in between is estimated from its time and from the counts at earlier looks.
 */
export class StreamWatch {
  readonly #options: StreamWatchOptions;
  #points: Point[] = [];
  #endangered = new Set<string>();
  #lost = new Map<string, Losses>();
  #dangers = 0;
  #state: StreamState = { length: 0, groups: [], dangers: 0 };

  constructor(options: StreamWatchOptions) {
    this.#options = options;
  }

  /** As of the last look. */
  get state(): StreamState {
    return this.#state;
  }

  /**
   * Looks now.
   *
   * @throws what Redis answers if it cannot be asked.
   */
  async look(): Promise<StreamState> {
    const { redis, stream } = this.#options;
    if ((await redis.exists(stream)) === 0) {
      this.#state = { length: 0, groups: [], dangers: this.#dangers };
      return this.#state;
    }
    const info = pairs((await redis.xinfo('STREAM', stream)) as unknown[]);
    const groups = ((await redis.xinfo('GROUPS', stream)) as unknown[][]).map(pairs);
    const length = Number(info.length);
    // Before Redis 7.0 nothing counts what was appended: then only the length is known, and the estimate is coarser.
    const counted = typeof info['entries-added'] === 'number';
    const added = counted ? Number(info['entries-added']) : length;
    const last = String(info['last-generated-id']);
    const first = (info['first-entry'] as [string] | null)?.[0] ?? last;
    this.#learn({ at: time(first), count: added - length + 1 }, { at: time(last), count: added }, counted);
    const states: GroupState[] = [];
    for (const group of groups) states.push(await this.#judge(group, { first, last, added, length }));
    this.#state = { length, groups: states, dangers: this.#dangers };
    return this.#state;
  }

  async #judge(
    group: Record<string, unknown>,
    { first, last, added, length }: { first: string; last: string; added: number; length: number },
  ): Promise<GroupState> {
    const { redis, stream, maxLength, onDanger, onLost } = this.#options;
    const name = String(group.name);
    const pending = Number(group.pending);
    const delivered = String(group['last-delivered-id']);
    const lag = typeof group.lag === 'number' ? group.lag : null;

    const memory = this.#lost.get(name) ?? { read: undefined, undelivered: 0, pending: new Set() };
    this.#lost.set(name, memory);
    const before = memory.undelivered + memory.pending.size;
    let oldest: string | undefined;
    if (pending > 0) {
      const [, min] = (await redis.xpending(stream, name)) as [number, string];
      oldest = min;
      if (isBefore(min, first)) {
        const trimmed = (await redis.xpending(stream, name, '-', `(${first}`, MAX_TRIMMED)) as PendingEntry[];
        for (const [id] of trimmed) memory.pending.add(id);
      }
    } else if (isBefore(delivered, last)) {
      oldest = (await redis.xrange(stream, `(${delivered}`, '+', 'COUNT', 1))[0]?.[0];
    }
    // What was appended and is neither delivered nor there any more.
    if (typeof group['entries-read'] === 'number') memory.read = group['entries-read'];
    // Redis does not count for a group that was made at the end; while its place is still there, we can.
    else if (!isBefore(delivered, first)) memory.read = Math.round(this.#countAt(time(delivered)));
    memory.undelivered = Math.max(memory.undelivered, added - length - (memory.read ?? added));
    const lost = memory.undelivered + memory.pending.size;

    const behind = oldest === undefined ? 0 : added - this.#countAt(time(oldest)) + 1;
    const room = maxLength === 0 || oldest === undefined ? null : Math.max(0, Math.round(maxLength - behind));
    const endangered = room !== null && room < maxLength * DANGER_SHARE;
    const state: GroupState = { group: name, lag, pending, room, endangered, lost };
    if (endangered && !this.#endangered.has(name)) {
      this.#dangers += 1;
      onDanger?.(state);
    }
    if (endangered) this.#endangered.add(name);
    else this.#endangered.delete(name);
    if (lost > before) onLost?.(state, lost - before);
    return state;
  }

  /** Keeps the counts at this look; those of entries that are gone are of no use any more. */
  #learn(first: Point, last: Point, counted: boolean): void {
    const between = counted ? this.#points.filter(({ at }) => at > first.at && at < last.at) : [];
    // Every other one suffices if there are too many.
    const kept = between.length > MAX_POINTS ? between.filter((_, index) => index % 2 === 0) : between;
    this.#points = [first, ...kept, last];
  }

  /** About how many entries had been appended up to a time, in a straight line between what is known. */
  #countAt(at: number): number {
    const after = this.#points.findIndex((point) => point.at >= at);
    const right = this.#points[after];
    const left = this.#points[after - 1];
    if (right === undefined) return this.#points.at(-1)?.count ?? 0;
    if (left === undefined || right.at === left.at) return right.count;
    return left.count + ((at - left.at) / (right.at - left.at)) * (right.count - left.count);
  }
}

/** Name, value, name, value … as an object. */
function pairs(list: unknown[]): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (let i = 0; i + 1 < list.length; i += 2) found[String(list[i])] = list[i + 1];
  return found;
}

/** The milliseconds in an id. */
function time(id: string): number {
  return Number(id.split('-')[0]);
}

function isBefore(a: string, b: string): boolean {
  const [aTime = 0, aCount = 0] = a.split('-').map(Number);
  const [bTime = 0, bCount = 0] = b.split('-').map(Number);
  return aTime < bTime || (aTime === bTime && aCount < bCount);
}
