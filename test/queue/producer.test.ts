import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { CfwJobProducer, InvalidJobError, RedisUnavailableError } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
let producer: CfwJobProducer;
beforeEach(async () => {
  await server.redis.client.flushall();
  producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
});
afterEach(async () => {
  await producer.close();
});

describe('the producer', () => {
  it('writes jobs that any BullMQ worker can read, named after project and job', async () => {
    await producer.enqueue({ jobId: 'a', timeoutMs: 60_000, metadata: { n: 1 } });
    await producer.enqueue({ jobId: 'a', projectId: 'other', watchId: 'w' });
    const queue = start.rawQueue(server.redis);
    const jobs = await queue.getJobs(['waiting'], 0, -1, true);
    expect(jobs.map(({ id, name, data }) => ({ id, name, data }))).toEqual([
      {
        id: `${PROJECT}.a`,
        name: 'poll',
        data: { jobId: 'a', projectId: PROJECT, timeoutMs: 60_000, metadata: { n: 1 } },
      },
      { id: 'other.a.w', name: 'poll', data: { jobId: 'a', projectId: 'other', watchId: 'w' } },
    ]);
  });

  it('takes more than go in one round trip, in their order, the same job twice as one', async () => {
    const jobs = Array.from({ length: 2_100 }, (_, n) => ({ jobId: `job-${n % 2_099}` }));
    const enqueued = await producer.enqueueMany(jobs);
    expect(enqueued.map(({ jobId }) => jobId)).toEqual(jobs.map(({ jobId }) => jobId));
    expect(enqueued[2_099]).toEqual(enqueued[0]);
    expect(await start.rawQueue(server.redis).getWaitingCount()).toBe(2_099);
    expect(await producer.enqueueMany([])).toEqual([]);
  });

  it('tells where a job stands, from the queue to the event', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({
      projectId: PROJECT,
      // Time enough for a sidecar that starts slowly to see it running.
      durationMs: 5_000,
      outcome: 'Failed',
      faults: [{ fault: 'unavailable' }],
    });
    const job = { projectId: PROJECT, jobId };
    expect(await producer.status(job)).toBeUndefined();

    await producer.enqueue({ jobId });
    expect(await producer.status(job)).toMatchObject({ state: 'queued', polls: 0, event: null });

    // A slot for one job: it cannot be held, so that its progress is in Redis after each poll.
    await start.sidecar({ ...environment(server.redis, simulator), WORKER_CONCURRENCY: '1' });
    const polling = await eventually(async () => {
      const found = await producer.status(job);
      return found?.state === 'polling' && found.cfwStatus === 'Running' && found;
    });
    expect(polling).toMatchObject({ lastError: { code: 'APIGW.0605' }, event: null });

    const failed = await eventually(async () => {
      const found = await producer.status(job);
      return found?.state === 'failed' && found;
    });
    expect(failed.event?.data).toMatchObject({ reason: 'JOB_FAILED', errorCounts: { 'APIGW.0605': 1 } });
    expect(failed.polls).toBe(simulator.jobs()[0]?.callTimes.length);
  });

  it('tells that a job is polled also while it is held, and nothing of an entry whose data did not fit', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 3_600_000 });
    await start.sidecar(environment(server.redis, simulator));
    await producer.enqueue({ jobId });
    await eventually(async () => (await producer.status({ projectId: PROJECT, jobId }))?.state === 'polling');

    const unfit = { jobId: `${PROJECT}.unfit` };
    await start.rawQueue(server.redis).add('x', { projectId: PROJECT, jobId: 'unfit', timeoutMs: -1 }, unfit);
    await eventually(async () => (await server.redis.events()).length === 1);
    await eventually(async () => (await producer.status({ projectId: PROJECT, jobId: 'unfit' })) === undefined);
  });

  it('watches a job again whose end is forgotten, though BullMQ still knows it, and touches none that goes on', async () => {
    const { client } = server.redis;
    const ids = ['completed', 'failed', 'remembered', 'active', 'delayed', 'waiting'];
    await producer.enqueueMany(ids.map((jobId) => ({ jobId })));
    const key = (name: string) => `{cfw}:cfw-jobs:${name}`;
    const queueId = (id: string) => `${PROJECT}.${id}`;
    await client.del(key('wait'));
    await client.rpush(key('wait'), queueId('waiting'));
    await client.rpush(key('active'), queueId('active'));
    await client.zadd(key('delayed'), 1, queueId('delayed'));
    for (const id of ['completed', 'remembered']) await client.zadd(key('completed'), 1, queueId(id));
    await client.zadd(key('failed'), 1, queueId('failed'));
    for (const id of ids) await client.hset(key(queueId(id)), 'old', id);
    await client.set(`{cfw}:events:published:${queueId('remembered')}`, '1-0 completed');

    const again = await producer.enqueueMany(ids.map((jobId) => ({ jobId })));
    expect(again.map(({ state }) => state)).toEqual(['queued', 'queued', 'completed', 'queued', 'queued', 'queued']);
    const isOld = Object.fromEntries(
      await Promise.all(ids.map(async (id) => [id, await client.hget(key(queueId(id)), 'old')])),
    );
    expect(isOld).toEqual({
      completed: null,
      failed: null,
      remembered: 'remembered',
      active: 'active',
      delayed: 'delayed',
      waiting: 'waiting',
    });
    expect((await client.lrange(key('wait'), 0, -1)).sort()).toEqual(['completed', 'failed', 'waiting'].map(queueId));
    expect(await client.zcard(key('completed'))).toBe(1);
    expect(await client.zcard(key('failed'))).toBe(0);
  });

  it('waits for Redis as long as it was told, and enqueues nothing after it has given up', async () => {
    const broken = new Redis({ port: 1, retryStrategy: () => null });
    broken.on('error', () => {});
    const patient = new CfwJobProducer({ redis: broken, projectId: PROJECT, timeoutMs: 1_500 });
    const given = await patient.enqueue({ jobId: 'a' }).catch((error: unknown) => error);
    expect(given).toBeInstanceOf(RedisUnavailableError);
    expect(given).toMatchObject({
      message: expect.stringMatching(/ECONNREFUSED.* for 1.5 s$/),
      cause: expect.any(Error),
    });
    await patient.close();

    const impatient = new Redis(server.redis.url, { enableOfflineQueue: false });
    impatient.on('error', () => {});
    const atOnce = new CfwJobProducer({ redis: impatient, projectId: PROJECT });
    await atOnce.enqueue({ jobId: 'b' });
    await server.redis.crash();
    const failed = await eventually(async () => await atOnce.enqueue({ jobId: 'c' }).catch((error: unknown) => error));
    expect(failed).toMatchObject({ code: 'REDIS_UNAVAILABLE', message: expect.not.stringContaining(' for 30 s') });
    await server.redis.restart();
    await eventually(async () => (await atOnce.enqueue({ jobId: 'd' })).state === 'queued');
    await atOnce.close();
    impatient.disconnect();
  });

  it('keeps no process alive whose connection is closed', () => {
    const program = `
      const { Redis } = await import('ioredis');
      const { CfwJobProducer } = await import('./dist/index.js');
      const redis = new Redis(process.env.URL);
      const { state } = await new CfwJobProducer({ redis, projectId: 'p' }).enqueue({ jobId: 'a' });
      console.log(state);
      redis.disconnect();`;
    const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      env: { ...process.env, URL: server.redis.url },
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect([stdout, signal]).toEqual(['queued\n', null]);
  });

  it('names the first of many problems and counts the rest', async () => {
    const jobs = Array.from({ length: 1_000 }, (_, n) => ({ jobId: `not/${n}` }));
    const refused = await producer.enqueueMany(jobs).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(InvalidJobError);
    const { code, message, problems } = refused as InvalidJobError;
    expect([code, problems.length]).toEqual(['INVALID_JOB', 1_000]);
    expect(message).toMatch(/^nothing was enqueued: jobs\[0\]\.jobId must be .*; and 980 more$/);
  });
});
