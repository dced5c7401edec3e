import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { Queue } from 'bullmq';
import { Calls, MAX_CALLS } from './calls.js';
import { RedisClock } from './clock.js';
import { DeadlineWatch } from './deadlines.js';
import { deadlineFor, endOverdue } from './endings.js';
import { Fleet } from './fleet.js';
import { type Backlog, Housekeeper } from './housekeeper.js';
import { Intake } from './intake.js';
import { parseJobData } from './job.js';
import { LOCK_MS, LockKeeper, STALLED_EVERY_MS } from './locks.js';
import { Pacer } from './pacer.js';
import { ProgressWriter } from './progress.js';
import { repairDuties } from './repair.js';
import { forward } from './requeue.js';
import { Runs } from './runs.js';
import { Slots } from './slots.js';
import { QueueStore } from './store.js';
import { hostTelemetry } from './telemetry.js';
import { Watchdog } from './watchdog.js';
import type { JobWorkerOptions } from './worker-options.js';
import { WriteRefusal } from './write-refusal.js';

/**
 * Jobs that are here without being held: those that are called for, and those that are next in turn. More would wait here for
 * what they can as well wait for in Redis, and every garbage collection would have to carry them along.
 */
const MAX_AT_HAND = MAX_CALLS + 16;
/** Longer waits are parked: a held job costs a slot, memory and the renewal of its lock. Milliseconds. */
const MAX_HOLD_MS = 15_000;
/** BullMQ keeps ended jobs for this long (milliseconds) and this many at most, for people who look at the queue. */
const KEEP_ENDED_MS = 86_400_000;
const KEEP_ENDED_COUNT = 10_000;
/** On stopping, calls under way may take this long before they are cut, in milliseconds. */
const STOP_CALLS_MS = 5_000;
/** The stop is given up after this, in milliseconds: Redis is away, and held jobs come back by the check for stalled ones. */
const STOP_MS = 8_000;
/** Jobs that have been due for longer, as the housekeeper saw, are fetched without waiting for BullMQ's word; ms. */
const OVERDUE_MS = 1_000;

/** Takes jobs from the queue, polls them to their end, has the end published. */
export class JobWorker {
  readonly #options: JobWorkerOptions;
  readonly #queue: Queue;
  readonly #telemetry = hostTelemetry();
  readonly #clock = new RedisClock();
  readonly #pacer = new Pacer();
  readonly #calls: Calls;
  readonly #slots: Slots;
  readonly #watchdog: Watchdog;
  readonly #housekeeper: Housekeeper;
  readonly #fleet: Fleet;
  readonly #locks: LockKeeper;
  readonly #runs: Runs;
  readonly #refusal: WriteRefusal;
  #store: QueueStore;
  #intake: Intake;
  #isStopping = false;
  /** Aborted when calls have had their time to end. */
  readonly #cutCalls = new AbortController();
  readonly #id = randomUUID();
  #lastToken = 0;

  constructor(options: JobWorkerOptions) {
    this.#options = options;
    const { redis, queueName, queuePrefix, concurrency, events } = options;
    setMaxListeners(0, this.#cutCalls.signal);
    this.#queue = new Queue(queueName, { connection: redis, prefix: queuePrefix, ...this.#telemetry });
    this.#queue.on('error', (error) => this.#failed(error));
    this.#refusal = new WriteRefusal((error) => events.emit('writes', error));
    const { poll } = options;
    this.#calls = new Calls({
      ...{ redis, poll, events, pacer: this.#pacer, key: this.#key, now: this.#clock.now },
      cut: this.#cutCalls.signal,
      onShort: () => this.#fleet.hurry(),
    });
    this.#slots = new Slots({ max: concurrency, maxAtHand: MAX_AT_HAND }, () => this.#intake.room());
    const deadlines = this.#createDeadlineWatch();
    this.#runs = this.#createRuns(deadlines);
    this.#watchdog = new Watchdog(
      () => this.#slots.isRoom && this.#pacer.rate > 0,
      () => {
        this.#failed(new Error('jobs are due and none is taken; fetching starts again'));
        this.restart();
      },
    );
    this.#housekeeper = new Housekeeper({
      redis,
      key: this.#key,
      now: this.#clock.now,
      deadlines,
      duties: [...repairDuties(this.#queue, redis, () => this.#store), ...(options.duties ?? [])],
      onBacklog: (backlog) => this.#lookAtBacklog(backlog),
      onError: (error) => this.#failed(error),
    });
    [this.#store, this.#intake] = this.#createIntake();
    this.#locks = new LockKeeper({
      store: () => this.#store,
      jobs: () => this.#runs.taken,
      onLost: (jobs) => {
        this.#failed(new Error(`the locks of ${jobs.length} jobs were lost; other workers may have them`));
        this.#runs.lose(jobs);
      },
      onError: (error) => this.#failed(error),
    });
    this.#fleet = this.#createFleet();
  }

  /** Begins to take jobs, as soon as Redis is there. */
  start(): void {
    this.#locks.start();
    this.#fleet.start();
    this.#intake.start();
  }

  /** Jobs that are worked on here, and how many of them wait for their next poll. */
  get load(): { readonly running: number; readonly held: number } {
    return { running: this.#runs.size, held: this.#slots.held };
  }

  /** The jobs that are due and not yet fetched, as the housekeeper saw them a second ago, or up to 10 s ago in a quiet queue. */
  get backlog(): Backlog {
    return this.#housekeeper.backlog;
  }

  /**
   * For how long jobs have been due that may be fetched, and are not, in milliseconds. 0 while calls are not allowed: in a
   * cool-down, without a share of the rate, or in a paused queue.
   */
  get stuckMs(): number {
    return Math.min(this.#watchdog.stuckMs, this.backlog.overdueMs);
  }

  /** Why Redis refuses writes, and since when by `performance.now()`; undefined if it does not. */
  get writeRefusal(): { readonly since: number; readonly message: string } | undefined {
    return this.#refusal.state;
  }

  /** How this process stands among those that work on the queue. */
  get fleet(): {
    /** Processes that have spoken within the last seconds. */
    readonly processes: number;
    readonly isHousekeeper: boolean;
    /** Calls a second that this process may make just now; `Infinity` if there is no limit. */
    readonly share: number;
    /** How long the housekeeper's last look at all jobs took, in milliseconds; null if there was none yet. */
    readonly fullLookMs: number | null;
  } {
    return {
      processes: this.#fleet.size,
      isHousekeeper: this.#housekeeper.isOn,
      share: this.#pacer.rate,
      fullLookMs: this.#housekeeper.fullLookMs,
    };
  }

  /** What a duty of the housekeeper found last, in this process or another; not validated. */
  found(duty: string): unknown {
    return this.#housekeeper.duty(duty);
  }

  /**
   * Stops: takes no more jobs, cuts every wait and parks the held jobs until their next polls, lets calls under way end
   * within 5 s and publishes what they bring.
   *
   * @returns false if that was not done within 8 s, since Redis is away; held jobs then come back as stalled ones.
   */
  async stop(): Promise<boolean> {
    // The order matters: the other way round each freed slot would fetch a job.
    this.#isStopping = true;
    this.#intake.stop();
    this.#housekeeper.stop();
    this.#runs.stop();
    const cut = setTimeout(() => this.#cutCalls.abort(), STOP_CALLS_MS);
    let giveUp: NodeJS.Timeout | undefined;
    const bound = new Promise<boolean>((resolve) => {
      giveUp = setTimeout(() => resolve(false), STOP_MS);
    });
    // A fetch that was under way may have brought one more.
    const left = this.#intake.ended.then(() => this.#runs.ended()).then(() => this.#fleet.leave());
    const stopped = await Promise.race([left.then(() => true), bound]);
    clearTimeout(cut);
    clearTimeout(giveUp);
    this.#locks.stop();
    if (!stopped) void this.#fleet.leave();
    await this.#store.close().catch(() => {});
    if (stopped) await Promise.race([this.#queue.close(), bound]).catch(() => {});
    return stopped;
  }

  /** Begins to fetch with a new blocking connection. What the old fetch may still bring is worked on, too. */
  restart(): void {
    this.#intake.stop();
    this.#store.close().catch((error) => this.#failed(error));
    if (this.#isStopping) return;
    [this.#store, this.#intake] = this.#createIntake();
    this.#intake.start();
  }

  /**
   * Whether there is room to hold a job until its next poll: half of the slots stay free, no job waits, and there are turns to
   * spare. So a job that is due never waits for those that only wait.
   */
  async #hold(delayMs: number): Promise<boolean> {
    if (delayMs > MAX_HOLD_MS || this.#calls.areScarce) return false;
    return (await this.#intake.noJobWaits()) && this.#slots.hold();
  }

  #lookAtBacklog(backlog: Backlog): void {
    if (this.#isStopping) return;
    this.#watchdog.look(backlog);
    if (backlog.overdueMs > OVERDUE_MS && !backlog.paused && !backlog.coolingDown) this.#intake.lookNow();
  }

  /** A refusal of writes is reported once, whatever fails by it. */
  #failed(error: unknown, queueJobId?: string): void {
    if (!this.#refusal.failed(error)) this.#options.events.emit('error', error, queueJobId);
  }

  readonly #key = (name: string): string => this.#queue.toKey(name);

  #createDeadlineWatch(): DeadlineWatch {
    const options = this.#options;
    return new DeadlineWatch({
      redis: options.redis,
      key: this.#key,
      now: this.#clock.now,
      deadlineOf: ({ data, enqueuedAt }) => deadlineFor(options, parseJobData(data, options.projectId), enqueuedAt),
      onDeadline: (job) => endOverdue(options, job, this.#clock.now()),
    });
  }

  #createRuns(deadlines: DeadlineWatch): Runs {
    const { redis } = this.#options;
    const { now } = this.#clock;
    return new Runs({
      context: {
        options: this.#options,
        now,
        calls: this.#calls,
        pacer: this.#pacer,
        progress: new ProgressWriter(redis, this.#key),
        hold: (delayMs) => this.#hold(delayMs),
        release: () => this.#slots.release(),
        forward: (taken, job) => forward(this.#queue, taken, job, now()),
      },
      queue: this.#queue,
      slots: this.#slots,
      source: () => ({ store: this.#store, intake: this.#intake }),
      telemetry: this.#telemetry,
      onTaken: () => {
        this.#watchdog.taken();
        this.#calls.fetched();
      },
      onDone: (id) => void deadlines.remove(id).catch(() => {}),
      onError: (error, id) => this.#failed(error, id),
    });
  }

  #createFleet(): Fleet {
    const { redis, ratePerSecond } = this.#options;
    return new Fleet({
      ...{ redis, ratePerSecond, clock: this.#clock, pacer: this.#pacer },
      key: this.#key('cfw:fleet'),
      counterKey: this.#key('id'),
      id: this.#id,
      onAnswer: async (answer) => {
        this.#refusal.succeeded();
        this.#intake.room();
        return await this.#housekeeper.answered(answer);
      },
      onError: (error) => this.#failed(error),
    });
  }

  #createIntake(): [QueueStore, Intake] {
    const { redis, queueName, queuePrefix, dedupTtlMs } = this.#options;
    const store = new QueueStore({
      ...{ redis, queueName, queuePrefix, clock: this.#clock },
      lockMs: LOCK_MS,
      stalledEveryMs: STALLED_EVERY_MS,
      keepEnded: { age: Math.min(KEEP_ENDED_MS, dedupTtlMs) / 1_000, count: KEEP_ENDED_COUNT },
      onError: (error) => this.#failed(error),
    });
    const intake = new Intake({
      ...{ store, slots: this.#slots, pacer: this.#pacer, clock: this.#clock },
      newToken: () => `${this.#id}:${this.#lastToken++}`,
      onTaken: (taken, turn) => this.#runs.begin(taken, turn),
      onLimited: (coolDownMs) => {
        if (coolDownMs > 0) this.#calls.coolDownSeen(coolDownMs);
        this.#calls.limited('fetch');
      },
      onError: (error) => this.#failed(error),
    });
    return [store, intake];
  }
}
