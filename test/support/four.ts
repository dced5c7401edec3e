import {
  CfwJobEventSubscriber,
  CfwJobProducer,
  CfwJobWaiter,
  type RedisConnection,
  readEvents,
} from '../../src/index.js';
import { eventually } from './eventually.js';

/** The four ways in which a service uses its connection, all at work on one. */
export class Four {
  readonly producer: CfwJobProducer;
  readonly handled: string[] = [];
  readonly read: string[] = [];
  readonly waited: string[] = [];
  /** What ended that should not have. */
  readonly failures: unknown[] = [];
  /** What `onError` of each was called with. */
  readonly errors: string[] = [];
  readonly #subscriber: CfwJobEventSubscriber;
  readonly #waiter: CfwJobWaiter;
  readonly #stop = new AbortController();

  /** @param awaited the job of project `p` that is waited for. */
  constructor(redis: RedisConnection, awaited: string) {
    const onError = ({ message }: Error) => this.errors.push(message);
    const handler = ({ id }: { id: string }) => this.handled.push(id);
    this.producer = new CfwJobProducer({ redis, projectId: 'p' });
    this.#subscriber = new CfwJobEventSubscriber({ redis, group: 'g', consumer: 'c', from: 'start', handler, onError });
    this.#waiter = new CfwJobWaiter({ redis, onError });
    const fail = (error: unknown) => this.failures.push(error);
    this.#read(redis, onError).catch(fail);
    this.#waiter.waitForJob({ projectId: 'p', jobId: awaited }).then(({ id }) => this.waited.push(id), fail);
  }

  async #read(redis: RedisConnection, onError: (error: Error) => void): Promise<void> {
    for await (const { event } of readEvents(redis, { from: 'start', signal: this.#stop.signal, onError })) {
      this.read.push(event.id);
    }
  }

  async ready(): Promise<void> {
    await this.#subscriber.ready();
  }

  /** Waits until all have seen an event. */
  async seen(id: string): Promise<void> {
    const all = () => [this.handled, this.read, this.waited].every((ids) => ids.includes(id));
    await eventually(all, { timeoutMs: 45_000, what: `that all see "${id}"` });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#waiter.close();
    await Promise.all([this.#subscriber.stop(), this.producer.close()]);
  }
}
