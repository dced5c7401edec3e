import { it } from '@jest/globals';
import { manyJobsWithDyingConsumers } from '../support/many.js';
import { useRedis } from '../support/redis.js';
import { useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();

it('10,000 jobs enqueued three times each are 10,000 events, handled though two of three consumers are killed', async () => {
  await manyJobsWithDyingConsumers(10_000, server.redis, start, 500_000);
}, 900_000);
