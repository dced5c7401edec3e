import { ErrorCode, type Queue } from 'bullmq';
import type { Intake } from './intake.js';
import type { Turn } from './pacer.js';
import { restore } from './requeue.js';
import { JobRun, type Outcome, type RunContext } from './run.js';
import type { Slots } from './slots.js';
import type { Fetched, QueueStore, Taken } from './store.js';
import { type HostTelemetry, inTraceOf } from './telemetry.js';

const LOCK_ERRORS: ReadonlySet<unknown> = new Set([ErrorCode.JobLockNotExist, ErrorCode.JobLockMismatch]);
const LOCK_LOST = new Error('locks were lost before their jobs could leave; the jobs come back');
/** Deadlines of the jobs that are here are kept to this, in milliseconds. */
const CHECK_TIME_EVERY_MS = 250;

export interface RunsOptions {
  readonly context: RunContext;
  readonly queue: Queue;
  readonly slots: Slots;
  /** Where jobs come from just now, and go to. */
  readonly source: () => { readonly store: QueueStore; readonly intake: Intake };
  readonly telemetry: HostTelemetry;
  /** A job has come here. */
  readonly onTaken: () => void;
  /** A job has left the queue. */
  readonly onDone: (id: string) => void;
  /** A job could not leave: Redis refused or is away. */
  readonly onError: (error: unknown, queueJobId: string | undefined) => void;
}

/** A job, and the turn of its first call. */
interface Arrival {
  readonly taken: Taken;
  readonly turn: Turn | undefined;
}

/** The jobs that are here: each is worked on and leaves; if it may, it brings the next one as it leaves. */
export class Runs {
  readonly #options: RunsOptions;
  readonly #byId = new Map<string, JobRun>();
  /** One for each slot that is taken: a job, and those that come in its place. */
  readonly #chains = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #isStopped = false;

  constructor(options: RunsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      const now = options.context.now();
      for (const run of this.#byId.values()) run.checkTime(now);
    }, CHECK_TIME_EVERY_MS).unref();
  }

  get size(): number {
    return this.#byId.size;
  }

  /** The jobs that are worked on; one that leaves is not among them. */
  get taken(): Taken[] {
    return [...this.#byId.values()].map(({ taken }) => taken);
  }

  /** Takes a slot for a job, and works on it. */
  begin(taken: Taken, turn: Turn | undefined): void {
    const { slots, context } = this.#options;
    slots.take();
    const chain: Promise<void> = this.#chain({ taken, turn })
      .catch((error) => void context.options.events.emit('error', error, taken.id))
      .finally(() => {
        this.#chains.delete(chain);
        slots.leave();
      });
    this.#chains.add(chain);
  }

  /** Other workers may have these by now. */
  lose(jobs: readonly Taken[]): void {
    for (const taken of jobs) {
      const run = this.#byId.get(taken.id);
      if (run?.taken === taken) run.lose();
    }
  }

  /** Cuts every wait: held jobs are parked, and what comes from now on goes back at once. Calls under way are not cut. */
  stop(): void {
    this.#isStopped = true;
    this.#options.context.pacer.stop();
    for (const run of this.#byId.values()) run.cut();
  }

  /** Resolves once none of those that are here now is here any more. */
  async ended(): Promise<void> {
    await Promise.all(this.#chains);
    clearInterval(this.#timer);
  }

  async #chain(first: Arrival): Promise<void> {
    const { context, queue, telemetry, onTaken } = this.#options;
    let next: Arrival | undefined = first;
    while (next !== undefined) {
      onTaken();
      const run: JobRun = new JobRun(next.taken, next.turn, context);
      next = await inTraceOf(next.taken, telemetry, queue.name, async () => this.#leave(run, await this.#work(run)));
    }
  }

  async #work(run: JobRun): Promise<Outcome> {
    if (this.#isStopped) run.cut();
    const { id } = run.taken;
    // BullMQ can give us a job that we still hold, if this process was blocked for so long that it looked stalled.
    this.#byId.get(id)?.lose();
    this.#byId.set(id, run);
    try {
      return this.#isStopped ? { kind: 'park', until: this.#options.context.now() } : await run.work();
    } finally {
      // Before its leaving is sent, or a renewal that comes later reports its lock as lost.
      if (this.#byId.get(id) === run) this.#byId.delete(id);
    }
  }

  /** @returns the job that has come in its place. */
  async #leave(run: JobRun, outcome: Outcome): Promise<Arrival | undefined> {
    const { context, queue, source, onDone, onError } = this.#options;
    const { taken } = run;
    if (outcome.kind === 'park') await context.pacer.beat();
    const { store, intake } = source();
    const turn = intake.refillTurn();
    let next: Taken | undefined;
    try {
      const refill = turn !== undefined;
      const fetched: Fetched =
        outcome.kind === 'park'
          ? await store.park(taken, outcome.until, refill, outcome.progress)
          : await store.complete(taken, outcome.value, refill, outcome.forget);
      if (outcome.kind === 'done') onDone(taken.id);
      next = fetched.job;
      // If none has come, nothing is known: perhaps none was asked for.
      if (next !== undefined || fetched.coolDownMs > 0) intake.note(fetched);
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (outcome.kind === 'park' && code === ErrorCode.JobNotExist) {
        const delayMs = Math.max(0, Math.round(outcome.until - context.now()));
        await restore(queue, context.options, taken, delayMs, outcome.progress);
      }
      // The check for stalled jobs brings the job back, unless another worker has it. One report does for all of them.
      else if (LOCK_ERRORS.has(code)) onError(LOCK_LOST, undefined);
      else if (!run.isLost) onError(error, taken.id);
    }
    if (next !== undefined) return { taken: next, turn };
    if (turn !== undefined) context.pacer.giveBack();
    return undefined;
  }
}
