import { type EndedJob, watchKey } from '../events/index.js';
import { type Deadline, NEW_HISTORY, type PollAnswer, type PollLoopResult, pollUntilEnd } from '../polling/index.js';
import type { Calls } from './calls.js';
import { deadlineFor, endInvalid, resultOf } from './endings.js';
import { type PollJob, parseJobData } from './job.js';
import type { Pacer, Turn } from './pacer.js';
import { type Progress, type ProgressWriter, parseProgress } from './progress.js';
import { dueTime, enqueueTime } from './queued.js';
import type { Taken } from './store.js';
import type { Forwarded, JobResult, JobWorkerOptions } from './worker-options.js';

/** What is to be done with a job that was worked on. */
export type Outcome =
  /** It is done; with `forget`, BullMQ does not even remember its id. */
  | { readonly kind: 'done'; readonly value: JobResult | Forwarded; readonly forget: boolean }
  /** It goes back into the queue until a time. */
  | { readonly kind: 'park'; readonly until: number; readonly progress?: Progress };

/** A job that could not be worked on for an unforeseen reason is taken again after this, in milliseconds. */
const ERROR_DELAY_MS = 5_000;
/** A job that came without a turn, and got none, is left to other processes for this long, in milliseconds. */
const NO_TURN_DELAY_MS = 250;

/** What a run needs of the worker. */
export interface RunContext {
  readonly options: JobWorkerOptions;
  /** Epoch milliseconds by Redis's clock. */
  readonly now: () => number;
  readonly calls: Calls;
  readonly pacer: Pacer;
  readonly progress: ProgressWriter;
  /** Whether the job may wait here for so long; after `true`, `release` is called at the end of the wait. */
  readonly hold: (delayMs: number) => Promise<boolean>;
  readonly release: () => void;
  /** Adds the queue job that stands for the CFW job, unless it is there. */
  readonly forward: (taken: Taken, job: PollJob) => Promise<Forwarded>;
}

/** A call that is under way, or waits to begin. */
interface PendingCall {
  hasBegun: boolean;
  isOver: boolean;
  readonly end: (answer: PollAnswer | undefined) => void;
}

/** One job, from when it was taken until it leaves this process. */
export class JobRun {
  readonly taken: Taken;
  readonly #context: RunContext;
  readonly #cut = new AbortController();
  #isLost = false;
  /** The stream entry of its event, once its watch is known to be cancelled. */
  #cancelledBy: string | undefined;
  /** For the next call. */
  #turn: Turn | undefined;
  #call: PendingCall | undefined;
  /** Whatever the run waits for, this ends it; epoch milliseconds. */
  #expiresAt = Number.POSITIVE_INFINITY;

  constructor(taken: Taken, turn: Turn | undefined, context: RunContext) {
    this.taken = taken;
    this.#cancelledBy = taken.cancelledBy;
    this.#turn = turn;
    this.#context = context;
  }

  /** Cuts every wait short: the job is parked. A call under way is not cut; one that has not begun is not made. */
  cut(): void {
    this.#cut.abort();
    if (this.#call?.hasBegun === false) this.#call.end(undefined);
  }

  /** The lock is lost: as `cut`. Redis refuses what is then done with the job if another worker has it. */
  lose(): void {
    this.#isLost = true;
    this.cut();
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** Ends the wait for a call, or the call, if the job's time has run out. */
  checkTime(now: number): void {
    const call = this.#call;
    if (call === undefined || now < this.#expiresAt) return;
    const message = 'no answer before the deadline';
    if (call.hasBegun) call.end({ kind: 'transient', code: 'ETIMEDOUT', httpStatus: null, message });
    else call.end({ kind: 'withheld', code: 'NOT_CALLED', httpStatus: null, message: 'no call before the deadline' });
  }

  /** Works on the job. It never throws: whatever happens here, the job is done after its event was published, or stays. */
  async work(): Promise<Outcome> {
    const { options, now, pacer } = this.#context;
    try {
      return await this.#work();
    } catch (error) {
      options.events.emit('error', error, this.taken.id);
      return { kind: 'park', until: now() + ERROR_DELAY_MS };
    } finally {
      if (this.#turn !== undefined) pacer.giveBack();
    }
  }

  async #work(): Promise<Outcome> {
    const { taken } = this;
    const { options, now, forward } = this.#context;
    const progress = parseProgress(taken.progress);
    const enqueuedAt = progress?.enqueuedAt ?? enqueueTime(taken.timestamp, now());
    const job = parseJobData(taken.data, options.projectId);
    if ('problems' in job) {
      // It may have the id of a valid queue job that comes later, which BullMQ would not take while it remembers this one.
      return { kind: 'done', value: await endInvalid(options, taken.id, job, enqueuedAt, now()), forget: true };
    }
    const deadline = deadlineFor(options, job, enqueuedAt);
    // The housekeeper may have ended it in the backlog.
    if (taken.attempts <= 1 || this.#cancelledBy !== undefined || now() >= deadline.at) {
      const published = await this.#published(job);
      if (published !== undefined) return { kind: 'done', value: published, forget: false };
    }
    if (progress === undefined && taken.id !== watchKey(job)) {
      return { kind: 'done', value: await forward(taken, job), forget: false };
    }
    if (taken.attempts <= 1) options.events.emit('accepted', job);
    const result = await this.#poll(job, enqueuedAt, deadline, progress);
    if (this.#cancelledBy !== undefined) {
      const published = await this.#published(job);
      if (published !== undefined) return { kind: 'done', value: published, forget: false };
    }
    if (result.kind === 'park') {
      const { until: dueAt, history } = result;
      const until = this.#turnIsFar ? Math.max(dueAt, now() + NO_TURN_DELAY_MS) : dueAt;
      return { kind: 'park', until, progress: { enqueuedAt, dueAt, history } };
    }
    const { verdict, history } = result;
    // Redis's clock, as it is known here, may have been corrected by a millisecond meanwhile.
    const isTimeOut = verdict.kind === 'failed' && verdict.reason === 'TIMED_OUT';
    const endedAt = isTimeOut ? Math.max(now(), deadline.at) : now();
    return await this.#publish({ job, enqueuedAt, endedAt, verdict, history });
  }

  async #poll(
    job: PollJob,
    enqueuedAt: number,
    deadline: Deadline,
    progress: Progress | undefined,
  ): Promise<PollLoopResult> {
    const { options, now, calls, hold, release } = this.#context;
    const { id, token, opts, timestamp } = this.taken;
    let dueAt = dueTime(timestamp, progress, opts, now());
    let lateMs = 0;
    let tookMs: number | null = null;
    // A job that is overdue already gets the time of a whole call.
    this.#expiresAt = Math.max(deadline.at, now() + options.callTimeoutMs);
    return await pollUntilEnd({
      poll: async (maxMs) => {
        let begunAt: number | undefined;
        const answer = await this.#makeCall(job, maxMs, () => {
          begunAt = performance.now();
          options.events.emit('calling');
          lateMs = Math.max(0, now() - dueAt);
        });
        tookMs = begunAt === undefined ? null : performance.now() - begunAt;
        // The next one is due at once, unless it is held.
        if (answer !== undefined) dueAt = now();
        return answer;
      },
      admit: async () => {
        this.#turn = await calls.admit();
        return this.#turn !== undefined;
      },
      observe: (answer, history, before) =>
        options.events.emit('polled', { job, answer, history, before, lateMs, tookMs }),
      schedule: options.schedule,
      deadline,
      history: progress?.history ?? NEW_HISTORY,
      hold: async (delayMs, history) => {
        if (!(await hold(delayMs))) return false;
        dueAt = now() + delayMs;
        // For those that ask where it stands, and for the worker that takes it should this process be killed. If that fails, it
        // is written again with the next poll.
        const written = this.#context.progress.write(id, token, { enqueuedAt, dueAt, history });
        written
          .then((entryId) => {
            this.#cancelledBy = entryId;
            if (entryId !== undefined) this.cut();
          })
          .catch(() => {});
        return true;
      },
      release,
      signal: this.#cut.signal,
      now,
    });
  }

  /** A call that can be ended from outside: by the deadline, or by a stop before it has begun. */
  async #makeCall(job: PollJob, maxMs: number, onBegin: () => void): Promise<PollAnswer | undefined> {
    const turn = this.#turn;
    this.#turn = undefined;
    return await new Promise<PollAnswer | undefined>((resolve, reject) => {
      const call: PendingCall = {
        hasBegun: false,
        isOver: false,
        end: (answer) => {
          call.isOver = true;
          if (this.#call === call) this.#call = undefined;
          resolve(answer);
        },
      };
      this.#call = call;
      const begin = () => {
        call.hasBegun = true;
        onBegin();
      };
      this.#context.calls.make(job, { turn, maxMs, onBegin: begin, isOver: () => call.isOver }).then(call.end, reject);
    });
  }

  /** How the job has ended already. A cancelled one has, also if its event is so old that nothing is remembered of it. */
  async #published(job: PollJob): Promise<JobResult | undefined> {
    const published = await this.#context.options.publisher.find(job);
    if (published !== undefined) return resultOf(published);
    return this.#cancelledBy === undefined ? undefined : { status: 'failed', entryId: this.#cancelledBy };
  }

  /** Whether the next turn of this process is too far away to take the job again soon. */
  get #turnIsFar(): boolean {
    return this.#context.pacer.waitMs > NO_TURN_DELAY_MS;
  }

  async #publish(ended: EndedJob): Promise<Outcome> {
    const { options, now } = this.#context;
    const { enqueuedAt, history, verdict } = ended;
    try {
      const result = await options.publisher.publish(ended);
      options.events.emit('ended', ended, result);
      // If it had been published before, that is how it ended.
      const status = result.event?.data.status ?? verdict.kind;
      return { kind: 'done', value: resultOf({ ...result, status }), forget: false };
    } catch (error) {
      // The next poll will find the same end; only the count of polls has to be kept.
      options.events.emit('error', error, this.taken.id);
      const dueAt = now() + ERROR_DELAY_MS;
      return { kind: 'park', until: dueAt, progress: { enqueuedAt, dueAt, history } };
    }
  }
}
