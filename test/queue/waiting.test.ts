import { setTimeout as sleep } from 'node:timers/promises';
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

  it('may die without a word', async () => {
    const { worker, ended, proxy, redis, errors } = await startThroughProxy();
    await enqueue(1);
    await eventually(() => ended.length === 1);
    await sleep(300);
    proxy.freeze();
    const at = Date.now();
    await enqueue(1, 1);
    await eventually(() => ended.length === 2);
    expect(Date.now() - at).toBeLessThan(10_000);
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
    await sleep(300);
    proxy.freeze();
    const at = Date.now();
    expect(await worker.stop()).toBe(true);
    expect(Date.now() - at).toBeLessThan(2_000);
    workers.splice(0);
    redis.disconnect();
    await proxy.stop();
  });

  it('may be killed or unblocked by an error', async () => {
    const { ended, errors } = startWorker({ poll: async () => SUCCESS });
    let n = 0;
    for (const how of ['kill', 'unblock', 'unblock', 'kill']) {
      await sleep(300);
      const list = String(await server.redis.client.client('LIST'))
        .split('\n')
        .filter((line) => /cmd=bzpopmin/.test(line));
      expect(list.length).toBeGreaterThan(0);
      const id = /id=(\d+)/.exec(list[0] as string)?.[1] as string;
      if (how === 'kill') await server.redis.client.client('KILL', 'ID', id);
      else await server.redis.client.client('UNBLOCK', Number(id), 'ERROR');
      const at = Date.now();
      await enqueue(1, n);
      n += 1;
      await eventually(() => ended.length === n);
      expect(Date.now() - at).toBeLessThan(2_000);
    }
    expect(errors.every((message) => message.includes('UNBLOCKED'))).toBe(true);
  });

  it('is not what delayed jobs are waited for on', async () => {
    const { ended, late } = startWorker({ poll: async () => SUCCESS });
    const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
    for (let n = 0; n < 100; n += 1) {
      await queue.add('x', { jobId: `d${n}` }, { jobId: `p.d${n}`, delay: 500 + Math.floor(Math.random() * 5_000) });
    }
    await eventually(() => ended.length === 100);
    late.sort((a, b) => a - b);
    // A wait that Redis ends comes a tenth of a second late where nothing else happens there.
    expect(late[50]).toBeLessThan(20);
    await queue.close();
  });
});
