import { Gauge, type Registry } from 'prom-client';
import { JOB_STATES, type JobWorker, type QueueInspector } from '../queue/index.js';
import type { RedisClient } from '../redis/index.js';
import type { ScheduleLearner } from '../schedule/index.js';
import type { Readiness } from './health.js';
import { inTime } from './in-time.js';
import type { StreamState } from './stream-watch.js';

/** Where gauges get their values from when they are scraped. */
export interface GaugeSources {
  readonly redis: RedisClient;
  readonly queue: QueueInspector;
  readonly stream: string;
  /** Entries that the stream keeps at least; 0: all. */
  readonly streamMaxLength: number;
  readonly readiness: () => Promise<Readiness>;
  /** What the watch of the stream found at its last look. */
  readonly streamState: () => StreamState | undefined;
  /** How the worker of this process stands; undefined before it has begun. */
  readonly worker: () => WorkerState | undefined;
  /** What has been learned; undefined if the schedule is always the backoff. */
  readonly learner: LearnerState | undefined;
  /** `POLL_PRICE`, in milliseconds. */
  readonly priceMs: number;
}

/** How the worker of this process stands; see `JobWorker`. */
export type WorkerState = Pick<JobWorker, 'load' | 'backlog' | 'fleet'>;

/** What the learner of this process knows; see `ScheduleLearner`. */
export type LearnerState = Pick<ScheduleLearner, 'learned' | 'knownJobs'>;

/** A scrape does not wait longer for Redis; what belongs to this process is shown all the same. */
const REDIS_LIMIT_MS = 1_000;
/** More groups than this are not shown: a label must not grow without bound. */
const MAX_GROUPS = 50;

/**
 * Adds what is looked up at each scrape: by a handful of commands whose cost does not grow with jobs or events.
 *
 * @returns how to look it up. While Redis is away, gauges of what it holds have no value, rather than an old one.
 */
export function addGauges(registry: Registry, sources: GaugeSources): () => Promise<void> {
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Gauge({ name: `cfw_job_poller_${name}`, help, labelNames, registers: [registry] });
  const checks = gauge('check_ok', 'Whether a check of /readyz is in order.', ['check']);
  const jobs = gauge('jobs', 'Jobs in the queue by state, over all processes; delayed ones are parked.', ['state']);
  const running = gauge('running_jobs', 'Jobs that this process is on, held ones included.');
  const held = gauge('held_jobs', 'Jobs that wait in this process for their next poll, rather than in the queue.');
  const overdue = gauge('overdue_seconds', 'How long the job that has been due for longest has waited to be taken.');
  const paused = gauge('queue_paused', 'Whether the queue is paused.');
  const fleet = gauge('fleet_processes', 'Processes that work on the queue, as this one last heard.');
  const housekeeper = gauge('housekeeper', 'Whether this process is the housekeeper of the queue.');
  const rateShare = gauge('rate_share', 'Calls a second that this process may make just now; +Inf: no limit.');
  const fullLook = gauge('housekeeper_look_seconds', "How long the housekeeper's last look at all jobs took.");
  const holdBack = gauge('hold_back_seconds', 'How much longer the cool-down lasts that CFW has asked for.');
  const entries = gauge('stream_entries', 'Events on the stream.');
  const maxEntries = gauge('stream_max_entries', 'Events that the stream keeps at least; 0: all.');
  const lag = gauge('stream_group_lag_entries', 'Events that a consumer group has not read yet.', ['group']);
  const pending = gauge('stream_group_pending_entries', 'Events read by a consumer group and not acknowledged.', [
    'group',
  ]);
  const lost = gauge(
    'stream_group_lost_entries',
    'Events that were trimmed before a consumer group had acknowledged them, as far as this process has seen it.',
    ['group'],
  );
  const isLearned = gauge('schedule_learned', 'Whether polls follow the learned schedule; 0: the exponential backoff.');
  const knownJobs = gauge(
    'schedule_known_jobs',
    'Ended jobs that the schedule is learned from; older ones count for less.',
  );
  const price = gauge(
    'schedule_price_seconds',
    'How much delay one poll is worth just now, by the quota and the load.',
  );
  const configuredPrice = gauge('schedule_configured_price_seconds', 'How much delay one poll is worth by POLL_PRICE.');
  const expectedPolls = gauge('schedule_expected_polls', 'Polls for each job that the learned schedule expects.');
  const expectedDelay = gauge(
    'schedule_expected_delay_seconds',
    "From a job's end to the poll that finds it, as the learned schedule expects on average.",
  );
  maxEntries.set(sources.streamMaxLength);
  configuredPrice.set(sources.priceMs / 1_000);

  const readRedis = async () => {
    const { redis, queue, stream } = sources;
    if (redis.status !== 'ready') return undefined;
    // A client of Redis sends what is asked for in one turn in one go.
    const reads = Promise.all([queue.read(), redis.xlen(stream), readGroups(redis, stream)]);
    return await inTime(reads, REDIS_LIMIT_MS).catch(() => undefined);
  };

  return async () => {
    const [{ checks: states }, found] = await Promise.all([sources.readiness(), readRedis()]);
    for (const [check, { ok }] of Object.entries(states)) checks.set({ check }, ok ? 1 : 0);
    const worker = sources.worker();
    if (worker !== undefined) {
      running.set(worker.load.running);
      held.set(worker.load.held);
      overdue.set(worker.backlog.overdueMs / 1_000);
      paused.set(worker.backlog.paused ? 1 : 0);
      const { processes, isHousekeeper, share, fullLookMs } = worker.fleet;
      fleet.set(processes);
      housekeeper.set(isHousekeeper ? 1 : 0);
      rateShare.set(share);
      if (fullLookMs !== null) fullLook.set(fullLookMs / 1_000);
    }
    for (const one of [holdBack, entries, price, expectedPolls, expectedDelay]) one.remove();
    const { learner } = sources;
    isLearned.set(learner?.learned === undefined ? 0 : 1);
    knownJobs.set(learner?.knownJobs ?? 0);
    if (learner?.learned !== undefined) {
      price.set(learner.learned.priceMs / 1_000);
      expectedPolls.set(learner.learned.polls);
      expectedDelay.set(learner.learned.delayMs / 1_000);
    }
    for (const one of [jobs, lag, pending, lost]) one.reset();
    for (const group of (sources.streamState()?.groups ?? []).slice(0, MAX_GROUPS)) {
      lost.set({ group: group.group }, group.lost);
    }
    if (found === undefined) return;
    const [state, length, groups] = found;
    for (const name of JOB_STATES) jobs.set({ state: name }, state.jobs[name]);
    holdBack.set(state.holdBackMs / 1_000);
    entries.set(length);
    for (const group of groups.slice(0, MAX_GROUPS)) {
      pending.set({ group: group.name }, group.pending);
      if (group.lag !== undefined) lag.set({ group: group.name }, group.lag);
    }
  };
}

interface Group {
  readonly name: string;
  readonly pending: number;
  /** Redis 7 and newer, and even there not after entries were deleted. */
  readonly lag: number | undefined;
}

async function readGroups(redis: RedisClient, stream: string): Promise<Group[]> {
  const groups = (await redis.xinfo('GROUPS', stream).catch((error: Error) => {
    // There is no stream before the first event.
    if (error.message.includes('no such key')) return [];
    throw error;
  })) as (string | number | null)[][];
  return groups.map((fields) => {
    const of = (name: string) => fields[fields.indexOf(name) + 1];
    const lag = fields.includes('lag') ? of('lag') : undefined;
    return { name: String(of('name')), pending: Number(of('pending')), lag: lag == null ? undefined : Number(lag) };
  });
}
