import { type Job, type Processor, Worker, type WorkerOptions } from 'bullmq';
import { NOT_JSON } from './job.js';

/** What BullMQ keeps to itself, of the version that package.json pins. */
interface Internals {
  /** Until when it does not fetch, since the limiter said so; epoch milliseconds. */
  readonly limitUntil: number;
  /** What its main loop waits for: jobs that run, and fetches. */
  readonly mainLoopQueue: { add(promise: Promise<undefined>): void } | null;
}

/** BullMQ's worker, with two of its faults mended. */
export class Fetcher extends Worker {
  readonly #onLimited: () => void;
  #wake: NodeJS.Timeout | undefined;

  /** @param onLimited told when the limiter has stopped a fetch. */
  constructor(name: string, processor: Processor, options: WorkerOptions, onLimited: () => void) {
    super(name, processor, { ...options, autorun: false });
    this.#onLimited = onLimited;
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
    const job = await super.moveToActive(token, name);
    const internals = this as unknown as Internals;
    const limitedMs = internals.limitUntil - Date.now();
    if (limitedMs > 0) {
      this.#onLimited();
      clearTimeout(this.#wake);
      this.#wake = setTimeout(() => internals.mainLoopQueue?.add(Promise.resolve(undefined)), limitedMs + 1).unref();
    }
    return job;
  }
}
