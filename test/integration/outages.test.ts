import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { CfwJobProducer } from '../../src/index.js';
import type { Simulator } from '../../src/simulator/index.js';
import { eventually } from '../support/eventually.js';
import { startProxy } from '../support/proxy.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
beforeEach(async () => {
  await server.redis.client.flushall();
});

/** Longer than the lock of a job (10 s), so that it counts as stalled. */
const LONGER_THAN_LOCK_MS = 12_000;

/** Jobs that end while the outage lasts and after it. */
async function enqueueJobs(simulator: Simulator): Promise<void> {
  const jobs = Array.from({ length: 30 }, (_, n) =>
    simulator.addJob({ projectId: PROJECT, durationMs: n * 600, outcome: n % 3 === 0 ? 'Failed' : 'Success' }),
  );
  const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
  await producer.enqueueMany(jobs.map(({ jobId }) => ({ jobId })));
  await producer.close();
  await eventually(() => jobs.some(({ callTimes }) => callTimes.length > 1), { what: 'the first polls' });
}

async function expectOneRightEventEach(simulator: Simulator): Promise<void> {
  const jobs = simulator.jobs();
  await eventually(async () => (await server.redis.events()).length >= jobs.length, { what: 'an event for each job' });
  await sleep(1_000);
  const events = await server.redis.events();
  expect(events.map(({ id, data }) => `${id} ${data.cfwStatus}`).sort()).toEqual(
    jobs.map(({ jobId, outcome }) => `${jobId} ${outcome}`).sort(),
  );
}

describe('one right event for each job, though', () => {
  it('Redis stands still for longer than the lock', async () => {
    const simulator = await start.simulator();
    const env = environment(server.redis, simulator);
    await Promise.all([start.sidecar(env), start.sidecar(env)]);
    await enqueueJobs(simulator);
    server.redis.process.kill('SIGSTOP');
    await sleep(LONGER_THAN_LOCK_MS);
    server.redis.process.kill('SIGCONT');
    await expectOneRightEventEach(simulator);
  });

  it('a worker stands still for longer than the lock, and then goes on with what it held', async () => {
    const simulator = await start.simulator();
    const env = environment(server.redis, simulator);
    const worker = start.command(['start'], env);
    await worker.logged('sidecar started');
    await enqueueJobs(simulator);
    worker.process.kill('SIGSTOP');
    await start.sidecar(env);
    await sleep(LONGER_THAN_LOCK_MS);
    worker.process.kill('SIGCONT');
    await expectOneRightEventEach(simulator);
    expect((await worker.kill('SIGTERM')).code).toBe(0);
  });

  it('the connections to Redis die without a word', async () => {
    const simulator = await start.simulator();
    const proxy = await startProxy(Number(new URL(server.redis.url).port));
    start.onEnd(() => proxy.stop());
    const url = new URL(server.redis.url);
    url.port = `${proxy.port}`;
    const log: string[] = [];
    await start.sidecar({ ...environment(server.redis, simulator), REDIS_URL: url.href }, log);
    await enqueueJobs(simulator);
    proxy.freeze();
    await expectOneRightEventEach(simulator);
    expect(log.join()).toContain('Redis has not answered for 10 s; reconnecting');
  });
});
