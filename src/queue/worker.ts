import { setMaxListeners } from 'node:events';
import { DelayedError, type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  deadlineOf,
  type History,
  NEW_HISTORY,
  type PollAnswer,
  type PollLoopResult,
  pollUntilEnd,
  type Schedule,
} from '../polling/index.js';
import { NOT_JSON, type PollJob, parseJobData, type UnfitJob } from './job.js';
import { type Progress, parseProgress } from './progress.js';

/** How a job ended, as the worker tells it to whoever publishes. */
export interface EndedJob {
  readonly job: PollJob;
  readonly enqueuedAt: number;
  readonly verdict: Extract<PollLoopResult, { kind: 'ended' }>['verdict'];
  readonly history: History;
}

/** What is kept of an ended job in BullMQ, as its return value. */
export interface JobResult {
  readonly status: 'completed' | 'failed';
  /** Id of the event's stream entry. */
  readonly entryId: string;
}

/** What happens to jobs, for logs and counters. Every member is told after the fact and must not throw. */
export interface JobObserver {
  /** A job is worked on for the first time. */
  accepted(job: PollJob): void;
  /** A call was made (or withheld) and answered; what is known with and without that answer comes along. */
  polled(job: PollJob, answer: PollAnswer, history: History, before: History): void;
  /** A job has ended and its event is on the stream; `isNew` is false where it had been published before. */
  ended(ended: EndedJob, entryId: string, isNew: boolean): void;
  /** An entry of the queue does not fit. */
  unfit(queueJobId: string, job: UnfitJob): void;
  /** Something went wrong that is no answer of CFW; the job stays in the queue. */
  trouble(error: unknown, queueJobId: string | undefined): void;
}

/** What a worker needs. */
export interface JobWorkerOptions {
  readonly redis: Redis;
  readonly queueName: string;
  readonly queuePrefix: string;
  /** Jobs that are worked on at the same time. */
  readonly concurrency: number;
  /** Project of jobs that name none. */
  readonly projectId: string | undefined;
  /** Timeout of jobs that name none, in milliseconds. */
  readonly timeoutMs: number;
  /** The longest that a poll takes, in milliseconds. */
  readonly callTimeoutMs: number;
  readonly schedule: Schedule;
  /** Asks CFW about a job; does not throw. */
  readonly poll: (job: PollJob, signal: AbortSignal) => Promise<PollAnswer>;
  /** Whether the job's end was published before; returns what to keep of it. */
  readonly findPublished: (job: PollJob) => Promise<JobResult | undefined>;
  readonly publish: (ended: EndedJob) => Promise<{ entryId: string; isNew: boolean }>;
  readonly publishUnfit: (queueJobId: string, job: UnfitJob, enqueuedAt: number) => Promise<{ entryId: string }>;
  readonly observer: JobObserver;
}

/**
 * A lock is renewed every half of this; the jobs of a worker that was killed run again 10 to 15 s later (the lock has to
 * run out, then the next check for stalled jobs finds them).
 */
const LOCK_DURATION_MS = 10_000;
const STALLED_INTERVAL_MS = 5_000;
/** Longer waits are parked: a held job costs a slot, memory and the renewal of its lock. */
const MAX_HOLD_MS = 15_000;
/** Ended jobs stay in BullMQ for this long and this many at most, for people who look at the queue. */
const KEEP_ENDED = { age: 86_400, count: 10_000 };
/** A job that could not be worked on for an unforeseen reason is taken up again after this. */
const TROUBLE_DELAY_MS = 5_000;
/** On stopping, calls under way may take this long before they are cut. */
const STOP_CALLS_MS = 5_000;
/** After this the stop is given up: Redis is away, and held jobs come back by the check for stalled ones. */
const STOP_MS = 8_000;

/** BullMQ's worker, which would choke on data that is no JSON: the job would stay active and come back for ever. */
class TolerantWorker extends Worker {
  protected override createJob(json: Parameters<Worker['createJob']>[0], jobId: string): Job {
    try {
      return super.createJob(json, jobId);
    } catch {
      const job = super.createJob({ ...json, data: 'null' }, jobId);
      job.data = NOT_JSON;
      return job;
    }
  }
}

/** Takes jobs from the queue, polls them to their end, has the end published. */
export class JobWorker {
  readonly #options: JobWorkerOptions;
  readonly #worker: Worker;
  /** Aborted when the worker stops: cuts waits. */
  readonly #stopping = new AbortController();
  /** Aborted when calls have had their time to end: cuts calls. */
  readonly #cutCalls = new AbortController();
  /** The runs of this process by BullMQ job id. */
  readonly #runs = new Map<string, AbortController>();
  #held = 0;

  /** Begins to take jobs at once, or as soon as Redis is there. */
  constructor(options: JobWorkerOptions) {
    this.#options = options;
    setMaxListeners(0, this.#stopping.signal, this.#cutCalls.signal);
    this.#worker = new TolerantWorker(options.queueName, (job, token) => this.#process(job, token ?? ''), {
      connection: options.redis,
      prefix: options.queuePrefix,
      concurrency: options.concurrency,
      lockDuration: LOCK_DURATION_MS,
      stalledInterval: STALLED_INTERVAL_MS,
      // Any finite limit wears out, since BullMQ never resets its count, and then ends the job without an event.
      maxStalledCount: Number.POSITIVE_INFINITY,
      removeOnComplete: KEEP_ENDED,
      removeOnFail: KEEP_ENDED,
    });
    this.#worker.on('error', (error) => options.observer.trouble(error, undefined));
    // Another worker may have the job by now: what is held here is dropped without a word.
    this.#worker.on('lockRenewalFailed', (ids) => {
      for (const id of ids) this.#runs.get(id)?.abort();
    });
  }

  /**
   * Stops: takes no more jobs, cuts every wait and parks the held jobs until their next polls, lets calls under way end
   * within 5 s and publishes what they bring.
   *
   * @returns false where that was not done within 8 s, since Redis is away; held jobs then come back as stalled ones.
   */
  async stop(): Promise<boolean> {
    // The order matters: once closing, BullMQ fetches no more; the other way round each freed slot would fetch a job.
    const closing = this.#worker.close().then(() => true);
    this.#stopping.abort();
    for (const run of this.#runs.values()) run.abort();
    const cut = setTimeout(() => this.#cutCalls.abort(), STOP_CALLS_MS);
    let giveUp: NodeJS.Timeout | undefined;
    const bound = new Promise<boolean>((resolve) => {
      giveUp = setTimeout(() => resolve(false), STOP_MS);
    });
    const stopped = await Promise.race([closing, bound]);
    clearTimeout(cut);
    clearTimeout(giveUp);
    if (!stopped) await Promise.race([this.#worker.close(true), bound]).catch(() => {});
    return stopped;
  }

  /**
   * Whatever happens here, the job is either done after its event was published, or it stays in the queue: anything thrown
   * but DelayedError would make BullMQ end the job without an event.
   */
  async #process(job: Job, token: string): Promise<JobResult> {
    const id = job.id as string;
    if (this.#stopping.signal.aborted) return await this.#park(job, token, Date.now());
    // BullMQ can hand us a job that we still hold, if this process was blocked for so long that it looked stalled.
    this.#runs.get(id)?.abort();
    const run = new AbortController();
    this.#runs.set(id, run);
    try {
      return await this.#run(job, token, run.signal);
    } catch (error) {
      if (error instanceof DelayedError) throw error;
      this.#options.observer.trouble(error, id);
      return await this.#park(job, token, Date.now() + TROUBLE_DELAY_MS);
    } finally {
      if (this.#runs.get(id) === run) this.#runs.delete(id);
    }
  }

  async #run(queued: Job, token: string, signal: AbortSignal): Promise<JobResult> {
    const { observer, publish, publishUnfit, findPublished, schedule, poll } = this.#options;
    const progress = parseProgress(queued.progress);
    const { enqueuedAt, ...history } = progress ?? { ...NEW_HISTORY, enqueuedAt: enqueueTime(queued) };
    const job = parseJobData(queued.data, this.#options.projectId);

    if ('problems' in job) {
      const { entryId } = await publishUnfit(queued.id as string, job, enqueuedAt);
      observer.unfit(queued.id as string, job);
      return { status: 'failed', entryId };
    }
    if (queued.attemptsStarted <= 1) {
      const published = await findPublished(job);
      if (published !== undefined) return published;
      observer.accepted(job);
    }

    const result = await pollUntilEnd({
      poll: () => poll(job, this.#cutCalls.signal),
      observe: (answer, history, before) => observer.polled(job, answer, history, before),
      schedule,
      deadline: deadlineOf(enqueuedAt, job.timeoutMs ?? this.#options.timeoutMs, this.#options.callTimeoutMs),
      history,
      hold: (delayMs) => this.#hold(delayMs),
      release: () => {
        this.#held -= 1;
      },
      signal,
    });
    if (result.kind === 'park') return await this.#park(queued, token, result.until, { enqueuedAt, ...result.history });

    const ended = { job, enqueuedAt, verdict: result.verdict, history: result.history };
    try {
      const { entryId, isNew } = await publish(ended);
      observer.ended(ended, entryId, isNew);
      return { status: result.verdict.kind, entryId };
    } catch (error) {
      // The next poll will find the same end; only the count of polls has to be kept.
      observer.trouble(error, queued.id);
      return await this.#park(queued, token, Date.now() + TROUBLE_DELAY_MS, { enqueuedAt, ...result.history });
    }
  }

  /** Half of the slots stay free, so that jobs that are due never wait for those that only wait. */
  #hold(delayMs: number): boolean {
    if (delayMs > MAX_HOLD_MS || this.#held + 1 > this.#options.concurrency / 2) return false;
    this.#held += 1;
    return true;
  }

  /** Gives the job back to the queue until a time, together with what is known of it, in one atomic step. */
  async #park(job: Job, token: string, until: number, progress?: Progress): Promise<never> {
    const now = Date.now();
    const delayMs = Math.max(0, Math.round(until - now));
    const fieldsToUpdate = progress === undefined ? {} : { progress: JSON.stringify(progress) };
    try {
      await this.#worker.backend.moveToDelayed(job.id as string, now, delayMs, token, {
        skipAttempt: true,
        fieldsToUpdate,
      });
    } catch (error) {
      // Redis is away or the lock was lost: the check for stalled jobs brings the job back.
      this.#options.observer.trouble(error, job.id);
    }
    throw new DelayedError();
  }
}

/** When the job was enqueued; a time in the future or none at all counts as now. */
function enqueueTime(job: Job): number {
  const now = Date.now();
  return job.timestamp > 0 && job.timestamp <= now ? job.timestamp : now;
}
