import type { BaseConfig } from '../config/index.js';
import { CfwJobProducer } from '../queue/index.js';
import { withCommandRedis } from '../redis/index.js';

/** A person waits for the answer. */
const TIMEOUT_MS = 4_000;

/** Lends a command the producer that the configuration asks for. */
export async function withProducer<T>(config: BaseConfig, use: (producer: CfwJobProducer) => Promise<T>): Promise<T> {
  const { queue, events, projectId, endpoint } = config;
  return await withCommandRedis(config.redis, async (redis) => {
    const producer = new CfwJobProducer({
      redis,
      queueName: queue.name,
      queuePrefix: queue.prefix,
      eventStream: events.stream,
      timeoutMs: TIMEOUT_MS,
      ...(projectId === undefined ? {} : { projectId }),
      ...(endpoint === undefined ? {} : { endpoint }),
    });
    try {
      return await use(producer);
    } finally {
      await producer.close();
    }
  });
}
