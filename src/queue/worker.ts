import { setMaxListeners } from 'node:events';
import { DelayedError, ErrorCode, type Job, type JobsOptions, Queue } from 'bullmq';
import pLimit from 'p-limit';
import { watchKey } from '../events/index.js';
import {
  type Deadline,
  deadlineOf,
  type History,
  NEW_HISTORY,
  type PollAnswer,
  pollUntilEnd,
  timedOut,
} from '../polling/index.js';
import { type Fetched, Fetcher } from './fetcher.js';
import { type PollJob, parseJobData, type UnfitJob } from './job.js';
import { CallLimiter } from './limiter.js';
import { type Progress, ProgressNotes, parseProgress } from './progress.js';
import { enqueueTime, type QueuedJob } from './queued.js';
import { mendJob, reconcileFailed } from './reconciler.js';
import { repeat } from './repeat.js';
import { hostTelemetry } from './telemetry.js';
import { type Line, Timekeeper } from './timekeeper.js';
import type { JobResult, JobWorkerOptions } from './worker-options.js';

/** What is kept of an entry of the queue that another one stands for. */
interface Forwarded {
  readonly forwardedTo: string;
}

/**
 * A lock is renewed every half of this; the jobs of a worker that was killed run again 10 to 15 s later (the lock has to
 * run out, then the next check for stalled jobs finds them).
 */
const LOCK_DURATION_MS = 10_000;
const STALLED_INTERVAL_MS = 5_000;
/** Longer waits are parked: a held job costs a slot, memory and the renewal of its lock. */
const MAX_HOLD_MS = 15_000;
/**
 * Calls that one process has under way at the same time. Answers that come in one go are worked on in one go, and nothing else
 * is meanwhile: this bounds how long that takes. It is enough for several hundred calls a second at a tenth of a second each.
 */
const MAX_CALLS = 48;
/**
 * Jobs that are here at the same time without being held: those that are called for, and some that wait for their turn, so that
 * no call is missed while the next job is fetched. More would wait here for what they can as well wait for in Redis, and every
 * garbage collection would have to carry them along.
 */
const MAX_AT_HAND = MAX_CALLS + 16;
/** So long after the limiter was seen empty, nothing is held: a held job would only have to stand in line after all. */
const THROTTLED_MS = 1_000;
/** How long all hold back after a 429 that does not say: the gateway's shortest window. */
const HOLD_BACK_MS = 1_000;
/** Ended jobs stay in BullMQ for this long and this many at most, for people who look at the queue. */
const KEEP_ENDED_MS = 86_400_000;
const KEEP_ENDED_COUNT = 10_000;
/** A job that could not be worked on for an unforeseen reason is taken up again after this. */
const TROUBLE_DELAY_MS = 5_000;
/** On stopping, calls under way may take this long before they are cut. */
const STOP_CALLS_MS = 5_000;
/** After this the stop is given up: Redis is away, and held jobs come back by the check for stalled ones. */
const STOP_MS = 8_000;
/** Failed jobs are looked for this often. */
const RECONCILE_MS = 10_000;
/** Where jobs have been due for so long, may be fetched, and none is, something is stuck. */
const STUCK_MS = 10_000;

/** Gives the job of a run back to the queue until a time. */
type Park = (until: number, progress?: Progress) => Promise<never>;

/** Why a run is cut short: the lock is lost, so another worker may have the job. */
const LOCK_LOST = new Error('the lock was lost');

/** Takes jobs from the queue, polls them to their end, has the end published. */
export class JobWorker {
  readonly #options: JobWorkerOptions;
  readonly #queue: Queue;
  readonly #limiter: CallLimiter;
  readonly #notes: ProgressNotes;
  readonly #timekeeper: Timekeeper;
  #fetcher: Fetcher;
  /** Aborted when the worker stops: cuts waits. */
  readonly #stopping = new AbortController();
  /** Aborted when calls have had their time to end: cuts calls. */
  readonly #cutCalls = new AbortController();
  /** The runs of this process by BullMQ job id. */
  readonly #runs = new Map<string, AbortController>();
  readonly #calls = pLimit(MAX_CALLS);
  #held = 0;
  /** Whether the last fetch found no job: nobody waits. */
  #idle = true;
  #throttledUntil = 0;
  /** When a job was taken last, or nothing stood in the way of taking none. */
  #unstuckAt = Date.now();

  /** Begins to take jobs at once, or as soon as Redis is there. */
  constructor(options: JobWorkerOptions) {
    this.#options = options;
    const { redis, queueName, queuePrefix, observer } = options;
    setMaxListeners(0, this.#stopping.signal, this.#cutCalls.signal);
    this.#queue = new Queue(queueName, { connection: redis, prefix: queuePrefix, ...hostTelemetry() });
    this.#queue.on('error', (error) => observer.trouble(error, undefined));
    const key = (name: string) => this.#queue.toKey(name);
    this.#limiter = new CallLimiter(redis, key, options.ratePerSecond);
    this.#notes = new ProgressNotes(redis, key);
    this.#fetcher = this.#startFetcher();
    this.#timekeeper = new Timekeeper({
      redis,
      key,
      deadlineOf: ({ data, enqueuedAt }) => this.#deadlineOf(parseJobData(data, options.projectId), enqueuedAt),
      onDeadline: (job) => this.#timeOut(job),
      onLook: (line) => this.#lookForStuck(line),
      onError: (error) => observer.trouble(error, undefined),
    });
    void repeat(
      () => reconcileFailed(this.#queue, redis),
      RECONCILE_MS,
      this.#stopping.signal,
      (error) => observer.trouble(error, undefined),
    );
  }

  /** Jobs that are worked on here, and how many of them wait for their next poll. */
  get load(): { readonly running: number; readonly held: number } {
    return { running: this.#runs.size, held: this.#held };
  }

  /** How the line of jobs that are due stood some hundred milliseconds ago. */
  get line(): Line {
    return this.#timekeeper.line;
  }

  /**
   * For how long jobs have been due that may be fetched, and are not, in milliseconds. 0 while calls are not allowed: in a
   * hold-back, behind a limiter that is used up, or in a paused queue.
   */
  get stuckMs(): number {
    return Math.min(Date.now() - this.#unstuckAt, this.line.overdueMs);
  }

  /**
   * Stops: takes no more jobs, cuts every wait and parks the held jobs until their next polls, lets calls under way end
   * within 5 s and publishes what they bring.
   *
   * @returns false where that was not done within 8 s, since Redis is away; held jobs then come back as stalled ones.
   */
  async stop(): Promise<boolean> {
    // The order matters: once closing, BullMQ fetches no more; the other way round each freed slot would fetch a job.
    const closing = this.#fetcher.close().then(() => true);
    this.#stopping.abort();
    this.#timekeeper.stop();
    for (const run of this.#runs.values()) run.abort();
    const cut = setTimeout(() => this.#cutCalls.abort(), STOP_CALLS_MS);
    let giveUp: NodeJS.Timeout | undefined;
    const bound = new Promise<boolean>((resolve) => {
      giveUp = setTimeout(() => resolve(false), STOP_MS);
    });
    const stopped = await Promise.race([closing, bound]);
    clearTimeout(cut);
    clearTimeout(giveUp);
    if (stopped) await Promise.race([this.#queue.close(), bound]).catch(() => {});
    return stopped;
  }

  #startFetcher(): Fetcher {
    const { redis, queueName, queuePrefix, dedupTtlMs, observer } = this.#options;
    const keepEnded = { age: Math.min(KEEP_ENDED_MS, dedupTtlMs) / 1_000, count: KEEP_ENDED_COUNT };
    const fetcher: Fetcher = new Fetcher(
      queueName,
      (job, token) => this.#process(job, token ?? '', fetcher),
      {
        connection: redis,
        prefix: queuePrefix,
        concurrency: this.#mayBeHere,
        limiter: this.#limiter.window,
        lockDuration: LOCK_DURATION_MS,
        stalledInterval: STALLED_INTERVAL_MS,
        // Any finite limit wears out, since BullMQ never resets its count, and then ends the job without an event.
        maxStalledCount: Number.POSITIVE_INFINITY,
        removeOnComplete: keepEnded,
        removeOnFail: keepEnded,
        ...hostTelemetry(),
      },
      (fetched) => this.#onFetched(fetched),
    );
    fetcher.on('error', (error) => {
      // Told once for all jobs below.
      if (!error.message.startsWith('could not renew lock')) observer.trouble(error, undefined);
    });
    fetcher.on('active', () => {
      this.#unstuckAt = Date.now();
    });
    fetcher.on('lockRenewalFailed', (ids) => {
      observer.trouble(new Error(`the locks of ${ids.length} jobs were lost; other workers may have them`), undefined);
      for (const id of ids) this.#runs.get(id)?.abort(LOCK_LOST);
    });
    fetcher.on('stalled', (id) => {
      mendJob(redis, this.#queue.toKey(id)).catch((error) => observer.trouble(error, id));
    });
    return fetcher;
  }

  #onFetched(fetched: Fetched): void {
    this.#idle = fetched === 'none';
    if (fetched !== 'limited') return;
    this.#throttled();
    this.#options.onLimited?.('fetch');
  }

  /** Nothing is held for a while. */
  #throttled(forMs = THROTTLED_MS): void {
    this.#throttledUntil = Math.max(this.#throttledUntil, Date.now() + forMs);
  }

  /**
   * BullMQ users have seen workers that looked connected and took no jobs. Where jobs are due and may be fetched, there is
   * room, and none is taken for long, everything is begun anew.
   */
  #lookForStuck({ overdueMs, paused, limiter }: Line): void {
    const now = Date.now();
    const mayFetch = !paused && limiter < this.#limiter.window.max && this.#runs.size < this.#mayBeHere;
    if (overdueMs === 0 || !mayFetch) this.#unstuckAt = now;
    if (now - this.#unstuckAt < STUCK_MS || this.#stopping.signal.aborted) return;
    this.#unstuckAt = now;
    this.#options.observer.trouble(new Error('jobs are due and none is taken; the worker is started anew'), undefined);
    this.restart();
  }

  /** Begins anew with BullMQ: held jobs are parked, and a new worker, with a blocking connection of its own, fetches. */
  restart(): void {
    const old = this.#fetcher;
    this.#fetcher = this.#startFetcher();
    for (const run of this.#runs.values()) run.abort();
    old.close(true).catch(() => {});
  }

  /**
   * Whatever happens here, the job is either done after its event was published, or it stays in the queue: anything thrown
   * but DelayedError would make BullMQ end the job without an event.
   */
  async #process(job: Job, token: string, fetcher: Fetcher): Promise<JobResult | Forwarded> {
    const id = job.id as string;
    const park: Park = (until, progress) => this.#park(fetcher, job, token, until, progress);
    if (this.#stopping.signal.aborted) return await park(Date.now());
    // BullMQ can hand us a job that we still hold, if this process was blocked for so long that it looked stalled.
    this.#runs.get(id)?.abort(LOCK_LOST);
    const run = new AbortController();
    this.#runs.set(id, run);
    try {
      return await this.#run(job, token, park, run.signal);
    } catch (error) {
      if (error instanceof DelayedError) throw error;
      this.#options.observer.trouble(error, id);
      return await park(Date.now() + TROUBLE_DELAY_MS);
    } finally {
      if (this.#runs.get(id) === run) this.#runs.delete(id);
    }
  }

  async #run(queued: Job, token: string, park: Park, signal: AbortSignal): Promise<JobResult | Forwarded> {
    const { observer, publish, findPublished, schedule, poll } = this.#options;
    const progress = parseProgress(queued.progress);
    const enqueuedAt = progress?.enqueuedAt ?? enqueueTime(queued.timestamp);
    const job = parseJobData(queued.data, this.#options.projectId);
    const deadline = this.#deadlineOf(job, enqueuedAt);

    // Being fetched has taken a token, for one call.
    let tokenIsUsed = false;
    try {
      if ('problems' in job) {
        // It may have the id of a sound entry that comes later, which BullMQ would not take while it keeps this one.
        queued.opts.removeOnComplete = true;
        return await this.#endUnfit(queued.id as string, job, enqueuedAt);
      }
      // While it stood in line, its deadline may have been dealt with.
      if (queued.attemptsStarted <= 1 || Date.now() >= deadline.at) {
        const published = await findPublished(job);
        if (published !== undefined) return published;
      }
      if (progress === undefined && queued.id !== watchKey(job)) return await this.#forward(queued, job);
      if (queued.attemptsStarted <= 1) observer.accepted(job);

      let dueAt = progress?.dueAt ?? enqueuedAt + delayOf(queued.opts);
      let lateMs = 0;
      const result = await pollUntilEnd({
        poll: async (maxMs) => {
          const askedAt = Date.now();
          const answer = await this.#calls(() => {
            lateMs = Math.max(0, Date.now() - dueAt);
            return poll(job, this.#cutCalls.signal, Math.max(1, maxMs - (Date.now() - askedAt)));
          });
          // The next one is due at once, unless it is held.
          dueAt = Date.now();
          tokenIsUsed = true;
          this.#heed(answer);
          return answer;
        },
        admit: () => this.#admit(),
        observe: (answer, history, before) => observer.polled(job, answer, history, before, lateMs),
        schedule,
        deadline,
        history: progress ?? NEW_HISTORY,
        hold: (delayMs, history) => {
          if (!this.#hold(delayMs)) return false;
          dueAt = Date.now() + delayMs;
          this.#note(queued.id as string, token, { enqueuedAt, dueAt, ...history });
          return true;
        },
        release: () => this.#changeHeld(-1),
        signal,
      });
      if (result.kind === 'park') {
        // Another worker may have the job by now: what was held here is dropped without a word.
        if (signal.reason === LOCK_LOST) throw new DelayedError();
        return await park(result.until, { enqueuedAt, dueAt: result.until, ...result.history });
      }

      const ended = { job, enqueuedAt, verdict: result.verdict, history: result.history };
      try {
        const { entryId, isNew } = await publish(ended);
        observer.ended(ended, entryId, isNew);
        return { status: result.verdict.kind, entryId };
      } catch (error) {
        // The next poll will find the same end; only the count of polls has to be kept.
        observer.trouble(error, queued.id);
        const dueAt = Date.now() + TROUBLE_DELAY_MS;
        return await park(dueAt, { enqueuedAt, dueAt, ...result.history });
      }
    } finally {
      if (!tokenIsUsed) this.#giveBack();
    }
  }

  #deadlineOf(job: PollJob | UnfitJob, enqueuedAt: number): Deadline {
    const timeoutMs = ('problems' in job ? null : job.timeoutMs) ?? this.#options.timeoutMs;
    return deadlineOf(enqueuedAt, timeoutMs, this.#options.callTimeoutMs);
  }

  /** Ends a job at its deadline that stands in line. It stays there; whoever fetches it finds that it was published. */
  async #timeOut({ queueJobId, data, enqueuedAt, progress }: QueuedJob): Promise<void> {
    const job = parseJobData(data, this.#options.projectId);
    if ('problems' in job) {
      await this.#endUnfit(queueJobId, job, enqueuedAt);
      return;
    }
    const { at } = this.#deadlineOf(job, enqueuedAt);
    const history: History = progress ?? NEW_HISTORY;
    const ended = { job, enqueuedAt, verdict: timedOut(history, at - enqueuedAt), history };
    const { entryId, isNew } = await this.#options.publish(ended);
    // Each process does the same; one of them tells.
    if (isNew) this.#options.observer.ended(ended, entryId, isNew);
  }

  async #endUnfit(queueJobId: string, job: UnfitJob, enqueuedAt: number): Promise<JobResult> {
    const { entryId, isNew } = await this.#options.publishUnfit(queueJobId, job, enqueuedAt);
    if (isNew) this.#options.observer.unfit(queueJobId, job);
    return { status: 'failed', entryId };
  }

  /**
   * An entry of the queue with an id of its producer's own stands for a job that may stand in the queue already, under that
   * id or others. They all become the one entry that is named after the job, so that it is polled once.
   */
  async #forward(queued: Job, job: PollJob): Promise<Forwarded> {
    const forwardedTo = watchKey(job);
    const { priority, opts } = queued;
    await this.#queue.add(queued.name, queued.data, {
      jobId: forwardedTo,
      timestamp: enqueueTime(queued.timestamp),
      ...(priority > 0 ? { priority } : {}),
      ...traceOf(opts),
    });
    return { forwardedTo };
  }

  /** Draws conclusions from an answer that concern all jobs. */
  #heed(answer: PollAnswer): void {
    if (answer.kind === 'job') return;
    if (answer.kind === 'withheld') this.#giveBack();
    const { httpStatus, retryAfterMs } = answer;
    if (httpStatus === 429 || (httpStatus === 503 && retryAfterMs !== undefined)) {
      const milliseconds = retryAfterMs || HOLD_BACK_MS;
      this.#throttled(milliseconds);
      this.#limiter.holdBack(milliseconds).catch((error) => this.#options.observer.trouble(error, undefined));
    }
  }

  /** Should that fail, one call less is made. */
  #giveBack(): void {
    this.#limiter.giveBack().catch(() => {});
  }

  /** Whether a held job may make a further call now. */
  async #admit(): Promise<boolean> {
    const admitted = await this.#limiter.take();
    if (!admitted) {
      this.#throttled();
      this.#options.onLimited?.('held');
    }
    return admitted;
  }

  /**
   * Whether there is room to hold a job until its next poll: half of the slots stay free, nobody waits, and the limiter has
   * tokens to spare. So a job that is due never waits for those that only wait.
   */
  #hold(delayMs: number): boolean {
    const isRoom = this.#held + 1 <= this.#options.concurrency / 2 && this.#idle && Date.now() >= this.#throttledUntil;
    if (delayMs > MAX_HOLD_MS || !isRoom) return false;
    this.#changeHeld(1);
    return true;
  }

  #changeHeld(by: 1 | -1): void {
    this.#held += by;
    this.#fetcher.allow(this.#mayBeHere);
  }

  /** Jobs that may be here at the same time. */
  get #mayBeHere(): number {
    return Math.min(this.#options.concurrency, this.#held + MAX_AT_HAND);
  }

  /**
   * Writes down what is known of a job that is held, for whoever asks where it stands, and for whoever takes it up should
   * this process be killed. Should that fail, it is written again with the next poll.
   */
  #note(jobId: string, token: string, progress: Progress): void {
    this.#notes.write(jobId, token, progress).catch(() => {});
  }

  /** Gives the job back to the queue until a time, together with what is known of it, in one atomic step. */
  async #park(fetcher: Fetcher, job: Job, token: string, until: number, progress?: Progress): Promise<never> {
    const delayMs = Math.max(0, Math.round(until - Date.now()));
    try {
      await fetcher.park(job.id as string, token, delayMs, progress);
    } catch (error) {
      if (error instanceof DelayedError) throw error;
      if ((error as { code?: unknown }).code === ErrorCode.JobNotExist) await this.#restore(job, delayMs, progress);
      // Else Redis is away or the lock was lost: the check for stalled jobs brings the job back.
      else this.#options.observer.trouble(error, job.id);
    }
    throw new DelayedError();
  }

  /** Somebody has removed the job while we were on it. It was accepted, so it is put back, unless it has ended. */
  async #restore({ id, name, data, timestamp, opts }: Job, delay: number, progress?: Progress): Promise<void> {
    try {
      const job = parseJobData(data, this.#options.projectId);
      if (!('problems' in job) && (await this.#options.findPublished(job)) !== undefined) return;
      const restored = await this.#queue.add(name, data, { jobId: id as string, timestamp, delay, ...traceOf(opts) });
      if (progress !== undefined) await restored.updateProgress(progress);
    } catch (error) {
      this.#options.observer.trouble(error, id);
    }
  }
}

/** What a producer has delayed its entry by, in milliseconds. */
function delayOf({ delay }: JobsOptions): number {
  return typeof delay === 'number' ? delay : 0;
}

/** The trace that a producer with OpenTelemetry has put its entry into, whether or not that is set up here. */
function traceOf({ telemetry }: JobsOptions): Pick<JobsOptions, 'telemetry'> {
  const metadata: unknown = telemetry?.metadata;
  return typeof metadata === 'string' ? { telemetry: { metadata } } : {};
}
