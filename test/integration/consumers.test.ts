import { it } from '@jest/globals';
import { manyJobsWithDyingConsumers } from '../support/many.js';
import { useRedis } from '../support/redis.js';
import { useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();

// The same with 10,000 jobs is in test/redis/many.test.ts.
it('300 jobs enqueued three times each are 300 events, handled though two of three consumers are killed', async () => {
  await manyJobsWithDyingConsumers(300, server.redis, start, 60_000);
}, 180_000);
