import { loadBaseConfig } from '../../src/config/index.js';
import { CfwJobEventSubscriber, CfwJobProducer } from '../../src/index.js';
import type { RedisClient } from '../../src/redis/client.js';
import { serviceRedis } from '../../src/redis/connect.js';
import type { Simulator } from '../../src/simulator/index.js';
import { eventually } from './eventually.js';
import { STREAM } from './redis.js';
import { PROJECT } from './sidecar.js';

/** A producer, a subscriber and a look at the stream, all by the environment that the sidecar has, too. */
export class Flow {
  readonly redis: RedisClient;
  readonly producer: CfwJobProducer;
  readonly subscriber: CfwJobEventSubscriber;
  readonly handled = new Set<string>();
  readonly #simulator: Simulator;
  readonly #group: string;

  constructor(env: Record<string, string>, simulator: Simulator, group = 'test') {
    this.redis = serviceRedis(loadBaseConfig(env).redis);
    this.redis.on('error', () => {});
    this.producer = new CfwJobProducer({ redis: this.redis, projectId: PROJECT });
    this.subscriber = new CfwJobEventSubscriber({
      redis: this.redis,
      group,
      consumer: 'one',
      from: 'start',
      claimIdleMs: 2_000,
      handler: ({ id }) => this.handled.add(id),
    });
    this.#simulator = simulator;
    this.#group = group;
  }

  /** Enqueues jobs whose durations are spread over some time; returns their ids. */
  async enqueue(count: number, spreadMs: number): Promise<string[]> {
    const ids = Array.from({ length: count }, (_, n) => {
      const options = { projectId: PROJECT, durationMs: (n * spreadMs) / count, outcome: 'Success' as const };
      return this.#simulator.addJob(options).jobId;
    });
    await this.producer.enqueueMany(ids.map((jobId) => ({ jobId })));
    return ids;
  }

  /** The ids of the events on the stream, oldest first. */
  async published(): Promise<string[]> {
    const entries = await this.redis.xrange(STREAM, '-', '+');
    return entries.map(([, fields]) => fields[fields.indexOf('id') + 1] ?? '');
  }

  /** Waits until each job has its event and the subscriber has handled it, and nothing is left pending. */
  async end(ids: readonly string[], timeoutMs = 60_000): Promise<void> {
    await eventually(() => ids.every((id) => this.handled.has(id)), {
      timeoutMs,
      what: `the events of ${ids.length} jobs at the subscriber`,
    });
    await eventually(async () => (await this.redis.xpending(STREAM, this.#group))[0] === 0, {
      what: 'nothing pending',
    });
  }

  async stop(): Promise<void> {
    await this.subscriber.stop();
    await this.producer.close();
    this.redis.disconnect();
  }
}
