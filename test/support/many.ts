import { expect } from '@jest/globals';
import { eventually } from './eventually.js';
import { STREAM, type TestRedis } from './redis.js';
import { cfwEnvironment, PROJECT, type useCleanUp } from './sidecar.js';
import { SubscriberProcess } from './subscriber-process.js';

const CHUNK = 500;

/**
 * Each job is enqueued three times by raw producers; a group of three consumers reads the events, and two of them are killed
 * on the way. Sees to it that each job has one entry and was handled, and that all is acknowledged.
 */
export async function manyJobsWithDyingConsumers(
  jobs: number,
  redis: TestRedis,
  start: ReturnType<typeof useCleanUp>,
  timeoutMs: number,
): Promise<void> {
  const simulator = await start.simulator();
  const env = { ...cfwEnvironment(simulator), REDIS_URL: redis.url, CFW_RATE_LIMIT: '0', LOG_LEVEL: 'warn' };
  start.command(['start'], env);
  const consumers = ['one', 'two', 'three'].map((consumer) => {
    const options = { url: redis.url, group: 'billing', consumer, claimIdleMs: 2_000, handlerMs: 2 };
    const process = new SubscriberProcess(options);
    start.onEnd(() => process.kill('SIGKILL'));
    return process;
  });
  const ids = Array.from(
    { length: jobs },
    (_, n) => simulator.addJob({ projectId: PROJECT, durationMs: (n * 5_000) / jobs, outcome: 'Success' }).jobId,
  );
  const queues = [1, 2, 3].map(() => start.rawQueue(redis));
  await Promise.all(
    queues.map(async (queue, shift) => {
      // Each producer in an order of its own.
      const order = [...ids.slice((jobs * shift) / 3), ...ids.slice(0, (jobs * shift) / 3)];
      for (let n = 0; n < jobs; n += CHUNK) {
        await queue.addBulk(order.slice(n, n + CHUNK).map((jobId) => ({ name: 'raw', data: { jobId } })));
      }
    }),
  );

  const handled = () => new Set(consumers.flatMap((consumer) => consumer.handled));
  const patience = { timeoutMs, everyMs: 100 };
  for (const [n, share] of [1 / 4, 1 / 2].entries()) {
    await eventually(() => handled().size >= jobs * share, { ...patience, what: 'events on the way' });
    await consumers[n]?.kill('SIGKILL');
  }
  await eventually(() => handled().size === jobs, { ...patience, what: 'each event at a handler' });
  const acknowledged = async () => {
    const [group = []] = (await redis.client.xinfo('GROUPS', STREAM)) as (string | number)[][];
    const told = (name: string) => group[group.indexOf(name) + 1];
    return told('pending') === 0 && told('lag') === 0;
  };
  await eventually(acknowledged, { ...patience, what: 'all acknowledged' });
  const queued = async () => await queues[0]?.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized');
  await eventually(async () => (await queued()) === 0, { ...patience, what: 'the end of all twins' });
  const events = await redis.events();
  expect(events).toHaveLength(jobs);
  expect(new Set(events.map(({ id }) => id))).toEqual(new Set(ids));
  expect(handled()).toEqual(new Set(ids));
}
