import { DelayedError, type Job, type Processor, Worker, type WorkerOptions } from 'bullmq';
import { NOT_JSON } from './job.js';

/** What BullMQ keeps to itself, of the version that package.json pins. */
interface Internals {
  /** Until when it does not fetch, since the limiter said so; epoch milliseconds. */
  limitUntil: number;
  /** What its main loop waits for: jobs that run, and fetches. */
  readonly mainLoopQueue: { add(promise: Promise<undefined>): void; numTotal(): number } | null;
}

/** What a fetch brings: a job as it lies in Redis, and its id. */
type Fetch = Awaited<ReturnType<Worker['backend']['moveToActive']>>;

/** Tells BullMQ that a job was parked, and brings the job that was fetched in the same step, where there was one. */
class Parked extends DelayedError {
  readonly next: Fetch;

  constructor(next: Fetch) {
    super();
    this.next = next;
  }
}

/** How a fetch came out: with a job, with none that waits, or stopped by the limiter. */
export type Fetched = 'job' | 'none' | 'limited';

/** BullMQ's worker, with some of its faults mended, and one command fewer for a job that is parked. */
export class Fetcher extends Worker {
  readonly #onFetched: (fetched: Fetched) => void;
  #fetches = 0;
  #newestFetch = 0;
  #wake: NodeJS.Timeout | undefined;

  /** @param onFetched told how the newest fetch came out. */
  constructor(name: string, processor: Processor, options: WorkerOptions, onFetched: (fetched: Fetched) => void) {
    super(name, processor, { ...options, autorun: false });
    this.#onFetched = onFetched;
    this.run().catch((error: Error) => this.emit('error', error));
  }

  /**
   * Lets so many jobs be here at the same time. BullMQ's main loop does not look at that number before a job ends, which can
   * be long where all are held; so it is woken.
   */
  allow(jobs: number): void {
    const wasFull = !this.#hasRoom;
    this.concurrency = jobs;
    if (wasFull && this.#hasRoom) this.#wakeMainLoop();
  }

  /**
   * Gives a job back to the queue for a while, and fetches the next one in the same step: for jobs that are parked after each
   * poll, one command in place of two. Must be called by the job's processor, and what it throws left alone.
   *
   * @param progress is stored with the job in the same step.
   * @throws {DelayedError} where the job is parked; else what Redis answers.
   */
  async park(jobId: string, token: string, delayMs: number, progress?: unknown): Promise<never> {
    const next = await this.backend.moveToDelayed(jobId, Date.now(), delayMs, token, {
      skipAttempt: true,
      // The slot of the job that leaves is counted still.
      fetchNext: !this.closing && this.#jobs <= this.concurrency && !this.#isLimited,
      // Not an empty object: BullMQ's script would fail on that, after it has removed the lock.
      ...(progress === undefined ? {} : { fieldsToUpdate: { progress: JSON.stringify(progress) } }),
    });
    throw new Parked(next as Fetch);
  }

  /** Also after a job that has ended, the next one is fetched in the same step. */
  override processJob(job: Job, token: string, mayFetchNext = () => true): ReturnType<Worker['processJob']> {
    return super.processJob(job, token, () => mayFetchNext() && !this.#isLimited);
  }

  protected override async handleFailed(...args: Parameters<Worker['handleFailed']>): Promise<Job> {
    const [error, , token] = args;
    if (!(error instanceof Parked)) return await super.handleFailed(...args);
    const [data, id] = error.next;
    // Where none came along, BullMQ's main loop fetches, as there is a free slot.
    if (data == null) return undefined as unknown as Job;
    this.#fetches += 1;
    this.#newestFetch = this.#fetches;
    this.#onFetched('job');
    return await this.nextJobFromJobData(data, id, token);
  }

  /** Data that is no JSON would throw after the job became active, and it would come back for ever. */
  protected override createJob(json: Parameters<Worker['createJob']>[0], jobId: string): Job {
    try {
      return super.createJob(json, jobId);
    } catch {
      const job = super.createJob({ ...json, data: 'null' }, jobId);
      job.data = NOT_JSON;
      return job;
    }
  }

  /**
   * Once the limiter has stopped a fetch, BullMQ's main loop waits for a running job to end before it fetches again, even
   * where the limiter has long allowed it: a job held for 10 s would stop all others. So it is woken when the window ends.
   */
  protected override async moveToActive(token: string, name?: string): Promise<Job> {
    this.#fetches += 1;
    const fetch = this.#fetches;
    const job = (await super.moveToActive(token, name)) as Job | undefined;
    const limitedMs = job === undefined ? this.#internals.limitUntil - Date.now() : 0;
    if (limitedMs > 0) {
      // Who asks in the last millisecond of a window makes BullMQ end it early.
      this.#internals.limitUntil += 1;
      clearTimeout(this.#wake);
      this.#wake = setTimeout(() => this.#wakeMainLoop(), limitedMs + 2).unref();
    }
    // Redis answers in order, but a fetch that brings a job takes longer to get here.
    if (fetch > this.#newestFetch) {
      this.#newestFetch = fetch;
      this.#onFetched(job !== undefined ? 'job' : limitedMs > 0 ? 'limited' : 'none');
    }
    return job as Job;
  }

  get #internals(): Internals {
    return this as unknown as Internals;
  }

  /** Jobs that are here, and fetches under way. */
  get #jobs(): number {
    return this.#internals.mainLoopQueue?.numTotal() ?? 0;
  }

  get #hasRoom(): boolean {
    return this.#jobs < this.concurrency;
  }

  /** Whether the limiter is known to let nothing through. */
  get #isLimited(): boolean {
    return this.#internals.limitUntil > Date.now();
  }

  #wakeMainLoop(): void {
    this.#internals.mainLoopQueue?.add(Promise.resolve(undefined));
  }
}
