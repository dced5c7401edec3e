import { readFileSync } from 'node:fs';
import { findPublished, fromEntry, InvalidEntryError, watchKey } from '../events/index.js';
import type { RedisClient } from '../redis/index.js';
import { type Cursor, decode, encode, type Phase, POLLING, phasesOf, start } from './cursor.js';
import { type CfwJobState, type CfwListedJob, endedStatus, readStatuses } from './job-status.js';

/** Which jobs to list. */
export interface ListJobsOptions {
  /** Those in one state. @default all */
  readonly state?: CfwJobState | undefined;
  /** Those of one project. @default all */
  readonly projectId?: string | undefined;
  /** Those with this id; there can be several, by project and watch. @default all */
  readonly jobId?: string | undefined;
  /** Jobs at most. @default 50 @minimum 1 @maximum 200 */
  readonly limit?: number | undefined;
  /** Where to go on: the `next` of the page before. */
  readonly cursor?: string | undefined;
}

/** A page of a list. */
export interface JobPage {
  readonly jobs: readonly CfwListedJob[];
  /**
   * Where the list goes on; null at its end. A page looks at a bounded number of jobs, so it may have fewer than `limit`, or
   * none, and go on all the same.
   */
  readonly next: string | null;
}

/** Where jobs are listed. */
export interface JobListingOptions {
  readonly redis: RedisClient;
  /** Names a key of the BullMQ queue. */
  readonly key: (name: string) => string;
  readonly eventStream: string;
  /** Project of jobs that name none. */
  readonly projectId: string | undefined;
}

/** The jobs of one page at most. */
export const MAX_LIMIT = 200;
const DEFAULT_LIMIT = 50;
/** Jobs of the queue that one page looks at, at most; some milliseconds of Redis's time. */
const QUEUE_BUDGET = 2_000;
/** Entries of the stream that one page looks at, at most. */
const STREAM_BUDGET = 500;
/** Jobs that workers are on and that are put in order by their next poll, at most. */
const MAX_ACTIVE = 10_000;
/** BullMQ's scores of delayed jobs are their due times times this. */
const SCORE_UNIT = 4_096;

/** What one step of a list has found: queue jobs or ended jobs, and where to go on in the same phase. */
interface Step {
  readonly ids: readonly string[];
  readonly ended: readonly CfwListedJob[];
  readonly looked: number;
  readonly next: Cursor | undefined;
}

interface Filter {
  readonly state: CfwJobState | undefined;
  readonly projectId: string | undefined;
  readonly jobId: string | undefined;
}

type Scored = readonly [id: string, score: number];

interface WithListScripts {
  cfwListJobs(place: string, ...args: (string | number)[]): Promise<[number, number, string, string, ...string[]]>;
  cfwListActive(active: string, ...args: (string | number)[]): Promise<string[]>;
}

/** Lists jobs: queued ones, then polling ones, then ended ones. */
export class JobListing {
  readonly #options: JobListingOptions;

  constructor(options: JobListingOptions) {
    this.#options = options;
    const listJobs = readFileSync(new URL('./list-jobs.lua', import.meta.url), 'utf8');
    const listActive = readFileSync(new URL('./list-active.lua', import.meta.url), 'utf8');
    options.redis.defineCommand('cfwListJobs', { numberOfKeys: 1, lua: listJobs });
    options.redis.defineCommand('cfwListActive', { numberOfKeys: 1, lua: listActive });
  }

  /**
   * Reads a page. Its cost does not grow with the number of jobs. A job that moves meanwhile may come twice or not at all.
   *
   * @throws {InvalidCursorError}
   * @throws {RangeError} if `limit` is out of its bounds.
   */
  async page({ limit = DEFAULT_LIMIT, cursor, state, projectId, jobId }: ListJobsOptions = {}): Promise<JobPage> {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
      throw new RangeError(`limit: ${limit} is invalid; expected 1 to ${MAX_LIMIT}`);
    }
    const filter = { state, projectId, jobId };
    const phases = phasesOf(state);
    let at: Cursor | undefined = cursor === undefined ? start(phases[0] as Phase) : decode(cursor, phases);
    const jobs = new Map<string, CfwListedJob>();
    let budget = QUEUE_BUDGET;
    while (at !== undefined && jobs.size < limit && budget > 0) {
      const step: Step = await this.#step(at, filter, limit - jobs.size, budget);
      for (const job of [...(await this.#read(step.ids, filter)), ...step.ended]) {
        jobs.set(identityOf(job) ?? `${jobs.size}`, job);
      }
      // The stream has a budget of its own, and comes last.
      budget = at[0] === 'ended' ? 0 : budget - Math.max(1, step.looked);
      const nextPhase: Phase | undefined = phases[phases.indexOf(at[0]) + 1];
      at = step.next ?? (nextPhase === undefined ? undefined : start(nextPhase));
    }
    return { jobs: [...jobs.values()], next: at === undefined ? null : encode(at) };
  }

  async #step(at: Cursor, filter: Filter, limit: number, budget: number): Promise<Step> {
    switch (at[0]) {
      case 'ended':
        return await this.#ended(at, filter, limit);
      case 'due':
        return await this.#due(at, filter, limit, budget);
      default: {
        const { next, looked, found } = await this.#scan(at, filter, limit, budget);
        return { ids: found.map(([id]) => id), ended: [], looked, next };
      }
    }
  }

  /** Goes on through one of BullMQ's places. */
  async #scan([phase, position, last]: Cursor, filter: Filter, limit: number, budget: number) {
    const { redis, key } = this.#options;
    const place = phase === 'due' ? 'delayed' : phase.replace('polled-', '');
    const kind = place === 'delayed' ? 'due' : place === 'wait' ? 'list' : 'zset';
    const [looked, isEnd, to, lastId, ...pairs] = await (redis as unknown as WithListScripts).cfwListJobs(
      key(place),
      kind,
      key(''),
      position || 0,
      last,
      budget,
      limit,
      POLLING.includes(phase) ? 1 : 0,
      ...this.#needles(filter),
    );
    const next: Cursor | undefined = isEnd === 1 ? undefined : [phase, to, lastId];
    return { looked, next, found: scored(pairs) };
  }

  /** Jobs that workers are on and jobs that are parked, in the order of their next polls. */
  async #due(at: Cursor, filter: Filter, limit: number, budget: number): Promise<Step> {
    const { redis, key } = this.#options;
    const [parked, pairs] = await Promise.all([
      this.#scan(at, filter, limit, budget),
      (redis as unknown as WithListScripts).cfwListActive(key('active'), key(''), MAX_ACTIVE, ...this.#needles(filter)),
    ]);
    const isAfter = ([id, score]: Scored, [, position, last]: Cursor) =>
      position === '' || score > Number(position) || (score === Number(position) && id > last);
    // Parked jobs behind the last one that was looked at are not known yet, and may be due before active ones.
    const { next: horizon } = parked;
    const active = scored(pairs).map(([id, dueAt]): Scored => [id, dueAt * SCORE_UNIT]);
    const between = active.filter((job) => isAfter(job, at) && (horizon === undefined || !isAfter(job, horizon)));
    const merged = [...parked.found, ...between].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));
    const page = merged.slice(0, limit);
    const [lastId, lastScore] = page.at(-1) ?? ['', 0];
    return {
      ids: page.map(([id]) => id),
      ended: [],
      looked: parked.looked,
      next: page.length < merged.length ? ['due', String(lastScore), lastId] : horizon,
    };
  }

  async #ended(at: Cursor, filter: Filter, limit: number): Promise<Step> {
    const { redis, eventStream } = this.#options;
    const [, position] = at;
    const isFiltered = filter.state !== undefined || filter.projectId !== undefined || filter.jobId !== undefined;
    const count = isFiltered ? STREAM_BUDGET : limit;
    const entries = await redis.xrevrange(eventStream, position === '' ? '+' : `(${position}`, '-', 'COUNT', count);
    const ended: CfwListedJob[] = [];
    let last = position;
    for (const [entryId, fields] of entries) {
      if (ended.length === limit) break;
      last = entryId;
      const job = mayFit(fields, filter) ? endedJob(entryId, fields) : undefined;
      if (job !== undefined && fits(job, filter)) ended.push(job);
    }
    const isEnd = entries.length < count && last === (entries.at(-1)?.[0] ?? last);
    return { ids: [], ended, looked: entries.length, next: isEnd ? undefined : ['ended', last, ''] };
  }

  /** Reads jobs of the queue; what has ended meanwhile or is still there after its event comes with the ended ones. */
  async #read(ids: readonly string[], filter: Filter): Promise<CfwListedJob[]> {
    const { redis, key, eventStream, projectId } = this.#options;
    const found = (await readStatuses(redis, key, ids, projectId)).flatMap((job) => job?.status ?? []);
    const fitting = found.filter((job) => fits(job, { ...filter, state: undefined }));
    const named = fitting.flatMap((job) => {
      const { projectId, jobId, watchId } = job;
      return projectId === null || jobId === null ? [] : [{ projectId, jobId, watchId, job }];
    });
    const published = await findPublished(redis, eventStream, named);
    const ended = new Set(named.flatMap(({ job }, n) => (published[n] === undefined ? [] : [job])));
    return fitting.filter((job) => !ended.has(job));
  }

  /** What the data of a job surely contains; jobs that name no project may be of the default one. */
  #needles({ projectId, jobId }: Filter): string[] {
    const named = projectId === this.#options.projectId ? undefined : projectId;
    return [named, jobId].filter((text) => text !== undefined);
  }
}

/** Numbers come as text, so that none is rounded on the way. */
function scored(pairs: readonly string[]): Scored[] {
  const found: Scored[] = [];
  for (let n = 0; n + 1 < pairs.length; n += 2) found.push([pairs[n] as string, Number(pairs[n + 1])]);
  return found;
}

/** What two entries of the queue that stand for the same job have in common. */
function identityOf({ projectId, jobId, watchId, event }: CfwListedJob): string | undefined {
  // The event of an invalid queue job is not that of the job which it perhaps meant.
  if (event?.id.startsWith('bullmq:')) return event.id;
  return projectId === null || jobId === null ? undefined : watchKey({ projectId, jobId, watchId });
}

function fits(job: CfwListedJob, { state, projectId, jobId }: Filter): boolean {
  return (
    (state === undefined || job.state === state) &&
    (projectId === undefined || job.projectId === projectId) &&
    (jobId === undefined || job.jobId === jobId)
  );
}

/** What can be seen without parsing an entry, which costs most of a page. */
function mayFit(fields: readonly string[], { state, projectId, jobId }: Filter): boolean {
  const field = (name: string) => fields[fields.indexOf(name) + 1] ?? '';
  const data = field('data');
  return (
    (state === undefined || field('type') === `cfw.job.${state}`) &&
    (projectId === undefined || data.includes(projectId)) &&
    (jobId === undefined || data.includes(jobId))
  );
}

function endedJob(entryId: string, fields: readonly string[]): CfwListedJob | undefined {
  try {
    return endedStatus(fromEntry(entryId, fields));
  } catch (error) {
    if (error instanceof InvalidEntryError) return undefined;
    throw error;
  }
}
