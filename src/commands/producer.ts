import type { BaseConfig } from '../config/index.js';
import { CfwJobProducer } from '../queue/index.js';
import { commandRedis } from '../redis/index.js';

/** Lends a command the producer that the configuration asks for. */
export async function withProducer<T>(config: BaseConfig, use: (producer: CfwJobProducer) => Promise<T>): Promise<T> {
  const { queue, events, projectId, endpoint } = config;
  const redis = await commandRedis(config.redis);
  const producer = new CfwJobProducer({
    redis,
    queueName: queue.name,
    queuePrefix: queue.prefix,
    eventStream: events.stream,
    ...(projectId === undefined ? {} : { projectId }),
    ...(endpoint === undefined ? {} : { endpoint }),
  });
  try {
    return await use(producer);
  } finally {
    await producer.close();
    redis.disconnect();
  }
}
