import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { PollAnswer } from '../../src/polling/index.js';
import { JobWorker, type JobWorkerOptions } from '../../src/queue/index.js';
import { eventually } from '../support/eventually.js';
import { startProxy } from '../support/proxy.js';
import { useRedis } from '../support/redis.js';

const server = useRedis();
beforeEach(async () => {
  await server.redis.client.flushall();
});
const workers: JobWorker[] = [];
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
});

const RUNNING: PollAnswer = { kind: 'job', status: 'Running', beginTime: null, endTime: null };
const SUCCESS: PollAnswer = { ...RUNNING, status: 'Success' };

/** A worker whose cloud is a function, and what it has done. */
function startWorker(options: Partial<JobWorkerOptions> = {}) {
  const ended: string[] = [];
  const troubles: string[] = [];
  const worker = new JobWorker({
    redis: server.redis.client,
    queueName: 'cfw-jobs',
    queuePrefix: '{cfw}',
    concurrency: 100,
    ratePerSecond: 0,
    projectId: 'p',
    timeoutMs: 600_000,
    callTimeoutMs: 10_000,
    dedupTtlMs: 600_000,
    schedule: () => 200,
    poll: async () => RUNNING,
    findPublished: async () => undefined,
    publish: async ({ job }) => {
      ended.push(job.jobId);
      return { entryId: '1-0', isNew: true };
    },
    publishUnfit: async () => ({ entryId: '1-0', isNew: true }),
    observer: {
      accepted: () => {},
      polled: () => {},
      ended: () => {},
      unfit: () => {},
      trouble: (error) => troubles.push((error as Error).message),
    },
    ...options,
  });
  workers.push(worker);
  return { worker, ended, troubles };
}

async function enqueue(count: number, from = 0): Promise<void> {
  const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
  const ids = Array.from({ length: count }, (_, n) => `j${from + n}`);
  await queue.addBulk(ids.map((jobId) => ({ name: 'x', data: { jobId }, opts: { jobId: `p.${jobId}` } })));
  await queue.close();
}

describe('the connection that a worker waits on', () => {
  /** A worker that waits through a proxy; what else it does goes to Redis directly. */
  async function startThroughProxy(options: Partial<JobWorkerOptions> = {}) {
    const url = new URL(server.redis.url);
    const proxy = await startProxy(Number(url.port));
    const redis = new Redis(server.redis.url, { maxRetriesPerRequest: null });
    const duplicate = redis.duplicate.bind(redis);
    redis.duplicate = ((override?: object) => duplicate({ ...override, port: proxy.port })) as typeof redis.duplicate;
    const started = startWorker({ redis, poll: async () => SUCCESS, ...options });
    return { ...started, proxy, redis };
  }

  it('may die without a word', async () => {
    const { worker, ended, proxy, redis, troubles } = await startThroughProxy();
    await enqueue(1);
    await eventually(() => ended.length === 1);
    await sleep(300);
    proxy.freeze();
    const at = Date.now();
    await enqueue(1, 1);
    await eventually(() => ended.length === 2);
    expect(Date.now() - at).toBeLessThan(10_000);
    expect(troubles).toEqual([]);
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
    const { ended, troubles } = startWorker({ poll: async () => SUCCESS });
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
    expect(troubles.every((message) => message.includes('UNBLOCKED'))).toBe(true);
  });

  it('is not what delayed jobs are waited for on', async () => {
    const late: number[] = [];
    const { ended } = startWorker({
      poll: async () => SUCCESS,
      observer: {
        accepted: () => {},
        polled: (_job, _answer, _history, _before, lateMs) => late.push(lateMs),
        ended: () => {},
        unfit: () => {},
        trouble: () => {},
      },
    });
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
