import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { JobWorker, JobWorkerOptions } from '../../src/queue/index.js';
import { eventually } from '../support/eventually.js';
import { startProxy } from '../support/proxy.js';
import { useRedis } from '../support/redis.js';
import { enqueue as add, SUCCESS, startWorker as start } from '../support/worker.js';

const server = useRedis();
beforeEach(async () => {
  await server.redis.client.flushall();
});
const workers: JobWorker[] = [];
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
});

function startWorker(options: Partial<JobWorkerOptions> = {}) {
  const started = start(server.redis.client, options);
  workers.push(started.worker);
  return started;
}
const enqueue = (count: number, from = 0) => add(server.redis.client, count, from);

describe('the connection that a worker waits on', () => {
  /** A worker that waits through a proxy; what else it does goes to Redis directly. */
  async function startThroughProxy(options: Partial<JobWorkerOptions> = {}) {
    const url = new URL(server.redis.url);
    const proxy = await startProxy(Number(url.port));
    const redis = new Redis(server.redis.url, { maxRetriesPerRequest: null });
    const duplicate = redis.duplicate.bind(redis);
    redis.duplicate = ((override?: object) => duplicate({ ...override, port: proxy.port })) as typeof redis.duplicate;
    const started = start(redis, { poll: async () => SUCCESS, ...options });
    workers.push(started.worker);
    return { ...started, proxy, redis };
  }

  /** Waits until the worker does, and it is no wait that ends just now; what Redis says of its connection. */
  const waits = () =>
    eventually(
      async () => {
        const list = String(await server.redis.client.client('LIST')).split('\n');
        return list.find((line) => /flags=b\b.*cmd=bzpopmin/.test(line));
      },
      { what: 'that it waits' },
    );

  it('may die without a word', async () => {
    const { worker, ended, proxy, redis, errors } = await startThroughProxy();
    await enqueue(1);
    await eventually(() => ended.length === 1);
    await waits();
    proxy.freeze();
    const at = Date.now();
    await enqueue(1, 1);
    await eventually(() => ended.length === 2);
    // A wait is over after 5 s.
    expect(Date.now() - at).toBeLessThan(15_000);
    expect(errors).toEqual([]);
    expect(await worker.stop()).toBe(true);
    workers.splice(0);
    redis.disconnect();
    await proxy.stop();
  });

  it('may be frozen when the worker stops', async () => {
    const { worker, ended, proxy, redis } = await startThroughProxy();
    await enqueue(1);
    await eventually(() => ended.length === 1);
    await waits();
    proxy.freeze();
    const at = Date.now();
    expect(await worker.stop()).toBe(true);
    // A wait is over after 5 s.
    expect(Date.now() - at).toBeLessThan(4_000);
    workers.splice(0);
    redis.disconnect();
    await proxy.stop();
  });

  it('may be killed or unblocked by an error', async () => {
    const { ended, errors } = startWorker({ poll: async () => SUCCESS });
    let n = 0;
    for (const how of ['kill', 'unblock', 'unblock', 'kill']) {
      const id = /id=(\d+)/.exec(await waits())?.[1] as string;
      if (how === 'kill') await server.redis.client.client('KILL', 'ID', id);
      else await server.redis.client.client('UNBLOCK', Number(id), 'ERROR');
      const at = Date.now();
      await enqueue(1, n);
      n += 1;
      await eventually(() => ended.length === n);
      // A wait is over after 5 s.
      expect(Date.now() - at).toBeLessThan(4_000);
    }
    expect(errors.every((message) => message.includes('UNBLOCKED'))).toBe(true);
  });

  it('is not what delayed jobs are waited for on', async () => {
    const { late } = startWorker({ poll: async () => SUCCESS });
    const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
    let added = 0;
    /** How late the median of so many jobs is polled. */
    const medianOf = async (jobs: number): Promise<number> => {
      late.length = 0;
      for (let n = 0; n < jobs; n += 1, added += 1) {
        const delay = 500 + Math.floor(Math.random() * 2_500);
        await queue.add('x', { jobId: `d${added}` }, { jobId: `p.d${added}`, delay });
      }
      await eventually(() => late.length === jobs);
      return late.toSorted((a, b) => a - b)[jobs / 2] as number;
    };
    // A wait that Redis ends comes up to a tenth of a second late where nothing else happens there: half of that on average. So
    // does any wait on a machine that stalls, but not each time.
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 5 && best >= 25; round += 1) best = Math.min(best, await medianOf(60));
    expect(best).toBeLessThan(25);
    await queue.close();
  });
});
