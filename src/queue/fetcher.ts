import { type Job, type Processor, Worker, type WorkerOptions } from 'bullmq';
import { NOT_JSON } from './job.js';

/** What BullMQ keeps to itself, of the version that package.json pins. */
interface Internals {
  /** Until when it does not fetch, since the limiter said so; epoch milliseconds. */
  readonly limitUntil: number;
  /** What its main loop waits for: jobs that run, and fetches. */
  readonly mainLoopQueue: { add(promise: Promise<undefined>): void } | null;
}

/** How a fetch came out: with a job, with none that waits, or stopped by the limiter. */
export type Fetched = 'job' | 'none' | 'limited';

/** BullMQ's worker, with two of its faults mended. */
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
    const internals = this as unknown as Internals;
    const limitedMs = job === undefined ? internals.limitUntil - Date.now() : 0;
    if (limitedMs > 0) {
      clearTimeout(this.#wake);
      this.#wake = setTimeout(() => internals.mainLoopQueue?.add(Promise.resolve(undefined)), limitedMs + 1).unref();
    }
    // Redis answers in order, but a fetch that brings a job takes longer to get here.
    if (fetch > this.#newestFetch) {
      this.#newestFetch = fetch;
      this.#onFetched(job !== undefined ? 'job' : limitedMs > 0 ? 'limited' : 'none');
    }
    return job as Job;
  }
}
