// A subscriber as a service has it, from the built package; it prints the id of each job that it has handled.
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { CfwJobEventSubscriber } from '../../dist/index.js';

const { url, handlerMs = 0, ...options } = JSON.parse(process.argv[2]);
const redis = new Redis(url, { maxRetriesPerRequest: null });
redis.on('error', () => {});
const subscriber = new CfwJobEventSubscriber({
  redis,
  from: 'start',
  ...options,
  handler: async ({ id }) => {
    if (handlerMs > 0) await sleep(handlerMs);
    process.stdout.write(`${id}\n`);
  },
});
process.once('SIGTERM', async () => {
  await subscriber.stop();
  redis.disconnect();
});
