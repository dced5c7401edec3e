import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Worker } from 'bullmq';
import { CfwJobProducer } from '../../src/index.js';
import type { SimulatedJob } from '../../src/simulator/index.js';
import { eventually } from '../support/eventually.js';
import { STREAM, useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
beforeEach(async () => {
  await server.redis.client.flushall();
});

const ENDLESS_MS = 3_600_000;
const JOB_KEY = (id: string) => `{cfw}:cfw-jobs:${id}`;

async function enqueue(jobs: readonly SimulatedJob[], timeoutMs?: number): Promise<void> {
  const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
  await producer.enqueueMany(jobs.map(({ jobId }) => ({ jobId, timeoutMs })));
  await producer.close();
}

const polled = async (jobs: readonly SimulatedJob[]) =>
  await eventually(() => jobs.every(({ callTimes }) => callTimes.length > 0), { what: 'a poll of each job' });

describe('the rate limit', () => {
  it('counts the calls of all processes, is used, and starves nobody', async () => {
    const simulator = await start.simulator();
    const env = { ...environment(server.redis, simulator), CFW_RATE_LIMIT: '25' };
    await Promise.all([start.sidecar(env), start.sidecar(env)]);
    const jobs = Array.from({ length: 60 }, () => simulator.addJob({ projectId: PROJECT, durationMs: ENDLESS_MS }));
    const begun = Date.now();
    await enqueue(jobs);
    await sleep(6_000);
    const seconds = (Date.now() - begun) / 1_000;
    // Without a limit, 60 jobs are polled 120 times a second here.
    expect(simulator.calls()).toBeLessThanOrEqual(25 * seconds * 1.05 + 1);
    // A slow machine uses less of it; the bench tells how much a free one does.
    expect(simulator.calls()).toBeGreaterThan(25 * seconds * 0.25);
    const counts = jobs.map(({ callTimes }) => callTimes.length);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2);
  });

  it('keeps no job waiting behind one that is merely held', async () => {
    const simulator = await start.simulator();
    const env = { ...environment(server.redis, simulator), CFW_RATE_LIMIT: '2' };
    await start.sidecar({ ...env, POLL_INITIAL_DELAY: '15s', POLL_MAX_DELAY: '15s' });
    const job = () => simulator.addJob({ projectId: PROJECT, durationMs: ENDLESS_MS });
    const held = job();
    await enqueue([held]);
    await polled([held]);
    await sleep(1_000);
    // The first of these uses the window up. BullMQ by itself would fetch the next one when the held job is let go.
    const others = [job(), job(), job(), job()];
    const begun = Date.now();
    await enqueue(others);
    await polled(others);
    expect(Date.now() - begun).toBeLessThan(10_000);
    expect(held.callTimes).toHaveLength(1);
  });

  it('that CFW tells of by a 429 holds all processes back', async () => {
    const simulator = await start.simulator();
    const env = { ...environment(server.redis, simulator), CFW_RATE_LIMIT: '0' };
    await Promise.all([start.sidecar(env), start.sidecar(env)]);
    const others = Array.from({ length: 10 }, () => simulator.addJob({ projectId: PROJECT, durationMs: ENDLESS_MS }));
    await enqueue(others);
    await polled(others);
    const throttled = simulator.addJob({
      projectId: PROJECT,
      durationMs: 0,
      outcome: 'Success',
      faults: [{ fault: 'throttled', retryAfter: '3' }],
    });
    await enqueue([throttled]);
    await server.redis.waitForEvents(1);
    const [first = 0, second = 0] = throttled.callTimes;
    expect(second - first).toBeGreaterThanOrEqual(3_000);
    // What was under way when the 429 came may still arrive, the later the longer the machine stalls. Each of the others is polled
    // twice a second, so that without a cool-down, or with one of a single process, no pause is nearly as long.
    const calls = others.flatMap(({ callTimes }) => callTimes).filter((at) => at > first && at < first + 3_000);
    expect(first + 3_000 - Math.max(first, ...calls)).toBeGreaterThan(1_500);
  });
});

describe('a deadline', () => {
  it('is kept behind a limiter that is used up, also for jobs that were never polled', async () => {
    const simulator = await start.simulator();
    await start.sidecar({ ...environment(server.redis, simulator), CFW_RATE_LIMIT: '1' });
    const jobs = Array.from({ length: 30 }, () => simulator.addJob({ projectId: PROJECT, durationMs: ENDLESS_MS }));
    await enqueue(jobs, 4_000);
    const events = await server.redis.waitForEvents(30);
    expect(events.every(({ data }) => data.reason === 'TIMED_OUT')).toBe(true);
    expect(events.filter(({ data }) => data.polls === 0).length).toBeGreaterThan(15);
    for (const { time, data } of events) {
      const tookMs = Date.parse(time) - Date.parse(data.enqueuedAt);
      expect(tookMs).toBeGreaterThanOrEqual(4_000);
      // At one call a second, the line would take 30 s.
      expect(tookMs).toBeLessThan(12_000);
    }
    // Nothing more is said when their turn comes.
    const queue = start.rawQueue(server.redis);
    await eventually(async () => (await queue.getWaitingCount()) === 0, { timeoutMs: 40_000 });
    expect(await server.redis.events()).toHaveLength(30);
    const calls = jobs.reduce((sum, { callTimes }) => sum + callTimes.length, 0);
    expect(events.reduce((sum, { data }) => sum + data.polls, 0)).toBeLessThanOrEqual(calls);
  });

  it("is kept in a producer's own delay", async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0 });
    await start.sidecar(environment(server.redis, simulator));
    const queue = start.rawQueue(server.redis);
    await queue.add('x', { jobId, timeoutMs: 2_000 }, { delay: ENDLESS_MS });
    const [event] = await server.redis.waitForEvents(1);
    expect(event?.data).toMatchObject({ reason: 'TIMED_OUT', polls: 0, cfwStatus: null });
    expect(Date.parse(event?.time ?? '') - Date.parse(event?.data.enqueuedAt ?? '')).toBeGreaterThanOrEqual(2_000);
  });

  it('is kept while a call hangs', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({
      projectId: PROJECT,
      durationMs: 0,
      faults: [{ fault: 'slow', delayMs: 60_000, times: 10 }],
    });
    await start.sidecar({ ...environment(server.redis, simulator), CFW_REQUEST_TIMEOUT: '20s' });
    // A sidecar that has just started may have no turn for a call for a second or two.
    await start.rawQueue(server.redis).add('x', { jobId, timeoutMs: 6_000 });
    const [event] = await server.redis.waitForEvents(1);
    expect(event?.data).toMatchObject({ reason: 'TIMED_OUT', polls: 1, errorCounts: { ETIMEDOUT: 1 } });
    const tookMs = Date.parse(event?.time ?? '') - Date.parse(event?.data.enqueuedAt ?? '');
    expect(tookMs).toBeGreaterThanOrEqual(6_000);
    expect(tookMs).toBeLessThan(15_000);
  });
});

describe('twins that raw producers enqueue', () => {
  it('become one job, that is polled as one', async () => {
    const simulator = await start.simulator();
    const job = simulator.addJob({ projectId: PROJECT, durationMs: 2_000, outcome: 'Success' });
    await start.sidecar(environment(server.redis, simulator));
    const queue = start.rawQueue(server.redis);
    const data = { jobId: job.jobId, projectId: PROJECT, metadata: { orderId: '42' } };
    await queue.addBulk(Array.from({ length: 5 }, (_, n) => ({ name: 'x', data, opts: { jobId: `own-${n}` } })));
    const [event] = await server.redis.waitForEvents(1);
    expect(event?.data).toMatchObject({ status: 'completed', metadata: { orderId: '42' } });
    await eventually(async () => (await queue.getJobCountByTypes('wait', 'delayed', 'active')) === 0);
    expect(event?.data.polls).toBe(job.callTimes.length);
    expect(await server.redis.events()).toHaveLength(1);
    const [[entryId] = ['']] = await server.redis.client.xrange(STREAM, '-', '+');
    const { returnvalue } = (await queue.getJob(`${PROJECT}.${job.jobId}`)) ?? {};
    expect(returnvalue).toEqual({ ...event?.data, entryId });
  });
});

describe('jobs that BullMQ would lose', () => {
  it('since another worker failed them get their event', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0, outcome: 'Success' });
    const foreign = new Worker(
      'cfw-jobs',
      async () => {
        throw new Error('not for me');
      },
      { connection: server.redis.client, prefix: '{cfw}' },
    );
    const queue = start.rawQueue(server.redis);
    await queue.add('x', { jobId, projectId: PROJECT }, { jobId: `${PROJECT}.${jobId}` });
    await queue.add('x', { jobId: '../illegal' }, { jobId: 'illegal' });
    await eventually(async () => (await queue.getFailedCount()) === 2);
    await foreign.close();
    // This one would be failed again without anybody being asked, as BullMQ does where a child of a flow has failed.
    await server.redis.client.hset(JOB_KEY(`${PROJECT}.${jobId}`), 'defa', 'child failed');

    await start.sidecar(environment(server.redis, simulator));
    const events = await server.redis.waitForEvents(2);
    expect(events.find(({ id }) => id === jobId)?.type).toBe('cfw.job.completed');
    expect(events.find(({ id }) => id === 'bullmq:cfw-jobs:illegal')?.data.reason).toBe('INVALID_REQUEST');
    await eventually(async () => (await queue.getFailedCount()) === 0);
  });

  it('since it cannot read its own notes on them get their event', async () => {
    const simulator = await start.simulator();
    const ids = ['opts', 'progress', 'parent'];
    const queue = start.rawQueue(server.redis);
    for (const field of ids) {
      simulator.addJob({ projectId: PROJECT, jobId: field, durationMs: 0, outcome: 'Success' });
      await queue.add('x', { jobId: field, projectId: PROJECT }, { jobId: `${PROJECT}.${field}` });
      await server.redis.client.hset(JOB_KEY(`${PROJECT}.${field}`), field, '{"a": NaN}');
    }
    await start.sidecar(environment(server.redis, simulator));
    const events = await server.redis.waitForEvents(3);
    expect(events.map(({ id, data }) => [id, data.status]).sort()).toEqual(
      ids.map((field) => [field, 'completed']).sort(),
    );
  });

  it('since somebody removed them while they were held get their event', async () => {
    const simulator = await start.simulator();
    // Its first call takes long, so it is surely held meanwhile. A parked one would be gone for good: no process has it.
    const job = simulator.addJob({
      projectId: PROJECT,
      durationMs: 6_000,
      outcome: 'Success',
      faults: [{ fault: 'slow', delayMs: 4_000 }],
    });
    await start.sidecar({ ...environment(server.redis, simulator), CFW_REQUEST_TIMEOUT: '20s' });
    await enqueue([job]);
    await polled([job]);
    await start.rawQueue(server.redis).obliterate({ force: true });
    expect(await server.redis.events()).toEqual([]);
    const [event] = await server.redis.waitForEvents(1);
    expect(event?.data).toMatchObject({ jobId: job.jobId, status: 'completed' });
  });
});

describe('the count of polls', () => {
  it('is that of the calls, over all processes', async () => {
    const simulator = await start.simulator();
    const jobs = Array.from({ length: 20 }, (_, n) =>
      simulator.addJob({ projectId: PROJECT, durationMs: 2_000 + n * 100, outcome: 'Success' }),
    );
    const env = environment(server.redis, simulator);
    await enqueue(jobs);
    for (let n = 0; n < 3; n += 1) {
      const worker = start.command(['start'], env);
      await worker.logged('sidecar started');
      await sleep(700);
      expect(await worker.kill('SIGTERM')).toEqual({ code: 0, signal: null });
      // Nothing is left behind: all that has not ended waits for the next one.
      expect(await start.rawQueue(server.redis).getActiveCount()).toBe(0);
    }
    await start.sidecar(env);
    const events = await server.redis.waitForEvents(20);
    for (const { jobId, callTimes } of jobs) {
      expect(events.find(({ id }) => id === jobId)?.data.polls).toBe(callTimes.length);
    }
  });
});

describe('a stop', () => {
  it('publishes the end that a call under way brings', async () => {
    const simulator = await start.simulator();
    const job = simulator.addJob({
      projectId: PROJECT,
      durationMs: 0,
      outcome: 'Success',
      faults: [{ fault: 'slow', delayMs: 2_000 }],
    });
    const env = environment(server.redis, simulator);
    const worker = start.command(['start'], env);
    await enqueue([job]);
    await polled([job]);
    expect(await worker.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    const [event] = await server.redis.events();
    expect(event?.data).toMatchObject({ jobId: job.jobId, status: 'completed', polls: 1 });
  });

  it('is at once where it is asked for twice', async () => {
    const simulator = await start.simulator();
    const job = simulator.addJob({
      projectId: PROJECT,
      durationMs: 0,
      faults: [{ fault: 'slow', delayMs: 60_000 }],
    });
    const worker = start.command(['start'], { ...environment(server.redis, simulator), CFW_REQUEST_TIMEOUT: '2m' });
    await enqueue([job]);
    await polled([job]);
    worker.process.kill('SIGTERM');
    await worker.logged('sidecar stopping');
    expect(await worker.kill('SIGTERM')).toEqual({ code: 1, signal: null });
  });
});
