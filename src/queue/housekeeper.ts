import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { defineScript, type RedisClient } from '../redis/index.js';
import { COOL_DOWN } from './calls.js';
import type { DeadlineWatch } from './deadlines.js';
import type { FleetAnswer } from './fleet.js';
import { parseJson } from './job.js';
import { parseProgress } from './progress.js';
import { dueTime } from './queued.js';

/** Something that one process does for all of the queue, now and then. */
export interface Duty {
  /** Names what it finds among the findings of the housekeeper. */
  readonly name: string;
  /** Milliseconds between two runs; it runs at once after a take-over. */
  readonly everyMs: number;
  /** Whether it may be left out while no job waits or runs. @default false */
  readonly onlyWhenBusy?: boolean;
  /** @returns what the other processes get to know of it, as JSON; undefined for nothing. */
  readonly run: () => Promise<unknown>;
}

/** The jobs that are due and not yet fetched. */
export interface Backlog {
  /** How long the job that has been due for longest has waited, in milliseconds; 0 if none is due. */
  readonly overdueMs: number;
  /** Jobs that wait to be fetched. */
  readonly waiting: number;
  /** Whether BullMQ's queue is paused. */
  readonly paused: boolean;
  /** Whether all processes wait since CFW asked for it. */
  readonly coolingDown: boolean;
}

const EMPTY: Backlog = { overdueMs: 0, waiting: 0, paused: false, coolingDown: false };

/** What the housekeeper finds, and what a successor needs to go on. */
const foundSchema = z.object({
  /** When it was on last, and since when one was on without a gap; epoch milliseconds. */
  at: z.number(),
  watchedSince: z.number(),
  /** The last event of BullMQ that was seen, and its counter of added jobs then. */
  cursor: z.string(),
  counter: z.string(),
  backlog: z.object({
    overdueMs: z.number(),
    waiting: z.number(),
    paused: z.boolean(),
    coolingDown: z.boolean(),
  }),
  fullLookMs: z.number().nullable(),
  duties: z.record(z.string(), z.unknown()),
});
type Found = z.output<typeof foundSchema>;

/** Longer than a take-over takes. After such a gap without a housekeeper, not every job was watched all the time; ms. */
const GAP_MS = 6_000;
/** A quiet queue to which no job is added is looked at this often, in milliseconds. */
const QUIET_LOOK_MS = 10_000;
/** A job is fetched within this of its due time, in milliseconds, or it is overdue. */
const OVERDUE_MS = 1_000;
/** All jobs are gone through this often, should an event of BullMQ have been missed; in milliseconds. */
const FULL_LOOK_EVERY_MS = 600_000;
/** Events of BullMQ that are read in one go. */
const EVENTS_CHUNK = 1_000;

type Look = [
  counter: string,
  cursor: string,
  missed: number,
  added: string[],
  waiting: number,
  active: number,
  paused: number,
  rateLimit: string,
  timestamp: string,
  progress: string,
  opts: string,
  nextScore: string,
  firstDeadline: string,
];

export interface HousekeeperOptions {
  readonly redis: RedisClient;
  /** Names a key of the BullMQ queue. */
  readonly key: (name: string) => string;
  /** Epoch milliseconds by Redis's clock. */
  readonly now: () => number;
  readonly deadlines: DeadlineWatch;
  readonly duties: readonly Duty[];
  /** Runs when the backlog was looked at, by this process or another. */
  readonly onBacklog: (backlog: Backlog) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * What one process at a time does for all: the deadlines of jobs in the backlog, the measure of the backlog, and the duties.
 * The others hear what it finds. Two that believe to be the housekeeper do no harm: every event is published once.
 */
export class Housekeeper {
  readonly #options: HousekeeperOptions;
  readonly #look: ReturnType<typeof defineScript<Look>>;
  readonly #stop = new AbortController();
  #found: Found | undefined;
  #isOn = false;
  #quietUntil = 0;
  #fullLookAt = 0;
  #isLookingFully = false;
  readonly #ranAt = new Map<Duty, number>();

  constructor(options: HousekeeperOptions) {
    this.#options = options;
    const lua = readFileSync(new URL('./look.lua', import.meta.url), 'utf8');
    this.#look = defineScript(options.redis, 'cfwLook', 9, lua);
  }

  /** Whether this process is the housekeeper. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** As of the last look, by any process. */
  get backlog(): Backlog {
    return this.#found?.backlog ?? EMPTY;
  }

  /** How long the last look at all jobs took, in milliseconds; null if there was none yet. */
  get fullLookMs(): number | null {
    return this.#found?.fullLookMs ?? null;
  }

  /** What a duty found last, in this process or another; not yet validated. */
  duty(name: string): unknown {
    return this.#found?.duties[name];
  }

  stop(): void {
    this.#isOn = false;
    this.#stop.abort();
  }

  /** Does what is due if this process is the housekeeper. @returns what it found, for the others. */
  async answered({ isHousekeeper, found, counter }: FleetAnswer): Promise<string | undefined> {
    if (this.#stop.signal.aborted) return undefined;
    const isNew = isHousekeeper && !this.#isOn;
    this.#isOn = isHousekeeper;
    if (found !== '' && (isNew || !isHousekeeper)) this.#found = foundSchema.safeParse(parseJson(found)).data;
    if (!isHousekeeper) {
      this.#options.onBacklog(this.backlog);
      return undefined;
    }
    if (isNew) {
      this.#ranAt.clear();
      this.#quietUntil = 0;
    }
    const { deadlines, now } = this.#options;
    const isQuiet = performance.now() < this.#quietUntil && (counter || '0') === this.#found?.counter;
    if (!isQuiet || deadlines.nextDue <= now()) await this.#lookAtQueue();
    await this.#runDuties();
    if (this.#found !== undefined) this.#found = { ...this.#found, at: now() };
    return JSON.stringify(this.#found);
  }

  async #lookAtQueue(): Promise<void> {
    const { key, now, deadlines, onBacklog } = this.#options;
    const names = ['id', 'events', 'wait', 'prioritized', 'delayed', 'active', 'meta', 'limiter'];
    const before = this.#found;
    const look = await this.#look(
      ...names.map(key),
      deadlines.key,
      before?.cursor ?? '',
      before?.counter ?? '',
      key(''),
      EVENTS_CHUNK,
    );
    const [counter, cursor, missed, added, waiting, active, paused, rateLimit, , , , nextScore, firstDeadline] = look;
    const at = now();
    const coolingDown = Number(rateLimit) >= COOL_DOWN;
    const backlog = { overdueMs: overdue(look, at), waiting, paused: paused === 1, coolingDown };
    const isWatched = before !== undefined && at - before.at < GAP_MS;
    const watchedSince = isWatched ? before.watchedSince : at;
    deadlines.looked(firstDeadline === '' ? Number.POSITIVE_INFINITY : Number(firstDeadline));
    await deadlines.add(added);
    this.#found = {
      ...{ at, watchedSince, cursor, counter, backlog },
      fullLookMs: before?.fullLookMs ?? null,
      duties: before?.duties ?? {},
    };
    if (missed === 1 || performance.now() - this.#fullLookAt > FULL_LOOK_EVERY_MS) this.#lookFully();
    await deadlines.endOverdue(watchedSince);
    const isQuiet = waiting === 0 && active === 0 && !backlog.paused && !coolingDown && added.length === 0;
    // Unless a delayed job is due before and is not fetched.
    const untilOverdueMs = nextScore === '' ? QUIET_LOOK_MS : dueTimeOf(nextScore) - at + OVERDUE_MS;
    this.#quietUntil = isQuiet ? performance.now() + Math.min(QUIET_LOOK_MS, untilOverdueMs) : 0;
    onBacklog(backlog);
  }

  /** Goes through all jobs beside the looks: with a million jobs that takes many of them. */
  #lookFully(): void {
    if (this.#isLookingFully) return;
    this.#isLookingFully = true;
    this.#fullLookAt = performance.now();
    const { deadlines, onError } = this.#options;
    deadlines
      .fullLook(this.#stop.signal)
      .then((fullLookMs) => {
        if (this.#found !== undefined) this.#found = { ...this.#found, fullLookMs };
      })
      .catch((error) => {
        // The next look begins it again.
        this.#fullLookAt = Number.NEGATIVE_INFINITY;
        if (!this.#stop.signal.aborted) onError(error);
      })
      .finally(() => {
        this.#isLookingFully = false;
      });
  }

  async #runDuties(): Promise<void> {
    const { duties, onError } = this.#options;
    const isQuiet = this.#quietUntil > 0;
    for (const duty of duties) {
      const ranAt = this.#ranAt.get(duty);
      const isDue = ranAt === undefined || performance.now() - ranAt >= duty.everyMs;
      if (!isDue || (isQuiet && duty.onlyWhenBusy && ranAt !== undefined)) continue;
      this.#ranAt.set(duty, performance.now());
      try {
        const found = await duty.run();
        if (found !== undefined && this.#found !== undefined) {
          this.#found = { ...this.#found, duties: { ...this.#found.duties, [duty.name]: found } };
        }
      } catch (error) {
        onError(error);
      }
    }
  }
}

/** BullMQ scores delayed jobs by 4096 times their due time. */
const dueTimeOf = (score: string) => Number(score) / 4_096;

/** For how long the job has waited that has been due for longest. */
function overdue([, , , , , , , , timestamp, progress, opts, nextScore]: Look, now: number): number {
  const dueTimes = [now];
  if (timestamp !== '') {
    const known = parseProgress(parseJson(progress === '' ? 'null' : progress));
    dueTimes.push(dueTime(Number(timestamp), known, parseJson(opts === '' ? 'null' : opts), now));
  }
  // A delayed job that is due has to be fetched, too.
  if (nextScore !== '') dueTimes.push(dueTimeOf(nextScore));
  return Math.max(0, Math.round(now - Math.min(...dueTimes)));
}
