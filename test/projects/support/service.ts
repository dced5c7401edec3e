import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import type { Simulator } from '../../../src/simulator/index.js';
import { PROJECT } from '../../support/sidecar.js';
import type { Ran } from './project.js';

/**
 * What a service does: hands in two jobs, handles the event of one, and gives up on the event of the other, which takes a
 * Lua script. Prints a line for each.
 */
const STEPS = `
async function main() {
  const [jobId, hopelessId, group, projectId] = process.argv.slice(2);
  const redis = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
  const producer = new CfwJobProducer({ redis, projectId });
  const ended = new Set();
  await new Promise((resolve, reject) => {
    const end = (id) => ended.add(id).size === 2 && resolve(subscriber.stop());
    const subscriber = new CfwJobEventSubscriber({
      redis,
      group,
      consumer: 'one',
      from: 'start',
      maxDeliveries: 1,
      handler: ({ id, type, data }) => {
        if (id === hopelessId) throw new Error('cannot be handled');
        if (id !== jobId) return;
        console.log('handled', type, JSON.stringify(data.metadata));
        end(id);
      },
      onDeadLetter: ({ event, error }) => {
        console.log('gave up', event?.id === hopelessId, String(error));
        end(hopelessId);
      },
    });
    const metadata = { orderId: '42' };
    producer.enqueueMany([{ jobId, metadata }, { jobId: hopelessId }]).catch(reject);
  });
  await producer.close();
  redis.disconnect();
}
main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
`;

/** The service as an ES module. */
export const SERVICE_ESM = `import { CfwJobProducer } from 'cfw-job-poller';
import { CfwJobEventSubscriber } from 'cfw-job-poller/subscriber';
import { Redis } from 'ioredis';
${STEPS}`;

/** The service as CommonJS. */
export const SERVICE_CJS = `const { CfwJobProducer } = require('cfw-job-poller');
const { CfwJobEventSubscriber } = require('cfw-job-poller/subscriber');
const { Redis } = require('ioredis');
${STEPS}`;

/** Runs the service against a sidecar on the same Redis, and looks at what it has done. */
export async function expectService(
  simulator: Simulator,
  redisUrl: string,
  run: (args: readonly string[], env: Record<string, string>) => Promise<Ran>,
): Promise<void> {
  const jobs = [1, 2].map(() => simulator.addJob({ projectId: PROJECT, durationMs: 0, outcome: 'Success' }).jobId);
  const { stdout } = await run([...jobs, `group-${randomUUID()}`, PROJECT], { REDIS_URL: redisUrl });
  expect(stdout.trim().split('\n').sort()).toEqual([
    'gave up true Error: cannot be handled',
    'handled cfw.job.completed {"orderId":"42"}',
  ]);
}
