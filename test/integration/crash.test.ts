import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { CfwJobProducer } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis({ appendOnly: true });
const start = useCleanUp();

beforeEach(async () => {
  await server.redis.client.flushall();
});

/** Waits until each job has an event, then sees to it that each has one, and the right one. */
async function expectOneRightEventEach(outcomes: ReadonlyMap<string, 'Success' | 'Failed'>): Promise<void> {
  await eventually(async () => new Set((await server.redis.events()).map(({ id }) => id)).size === outcomes.size, {
    timeoutMs: 60_000,
    what: 'an event for each job',
  });
  await sleep(1_000);
  const events = await server.redis.events();
  expect(events).toHaveLength(outcomes.size);
  for (const event of events) expect(event.data.cfwStatus).toBe(outcomes.get(event.id));
}

describe('crashes', () => {
  it('of the worker at any point leave one event for each job', async () => {
    const simulator = await start.simulator();
    const env = environment(server.redis, simulator);
    // When the worker is killed, some of these jobs wait, some are being asked about, some are held, some are ending.
    const outcomes = new Map<string, 'Success' | 'Failed'>();
    for (let n = 0; n < 40; n += 1) {
      const outcome = n % 4 === 0 ? 'Failed' : 'Success';
      const faults = n % 5 === 0 ? [{ fault: 'slow' as const, delayMs: 700, times: 2 }] : [];
      const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: n * 100, outcome, faults });
      outcomes.set(jobId, outcome);
    }
    const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
    await producer.enqueueMany([...outcomes.keys()].map((jobId) => ({ jobId })));
    for (const lifeMs of [300, 700, 1_100]) {
      const worker = start.command(['start'], env);
      await worker.logged('sidecar started');
      await sleep(lifeMs);
      await worker.kill('SIGKILL');
    }
    start.command(['start'], env);
    await expectOneRightEventEach(outcomes);
    await producer.close();
  });

  it('of Redis are waited out: nothing lost, nothing doubled', async () => {
    const simulator = await start.simulator();
    const log: string[] = [];
    await start.sidecar(environment(server.redis, simulator), log);
    const outcomes = new Map<string, 'Success' | 'Failed'>();
    for (let n = 0; n < 20; n += 1) {
      const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: n * 150, outcome: 'Success' });
      outcomes.set(jobId, 'Success');
    }
    const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
    await producer.enqueueMany([...outcomes.keys()].map((jobId) => ({ jobId })));
    await sleep(1_000);
    await server.redis.crash();
    await sleep(1_500);
    await server.redis.restart();
    await expectOneRightEventEach(outcomes);
    const messages = log.map((line) => JSON.parse(line).msg);
    expect(messages.filter((msg) => msg === 'redis connection lost')).toHaveLength(1);
    expect(messages).toContain('redis connection restored');
    await producer.close();
  });
});

describe('without Redis', () => {
  it('the sidecar starts, says so, waits, and takes up work when Redis comes', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0, outcome: 'Success' });
    const env = environment(server.redis, simulator);
    await server.redis.crash();
    const sidecar = start.command(['start'], env);
    const { url } = await sidecar.logged('sidecar started');
    await sidecar.logged('redis connection lost');
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    await server.redis.restart();
    await sidecar.logged('redis connection restored');
    const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
    await producer.enqueue({ jobId });
    await expectOneRightEventEach(new Map([[jobId, 'Success']]));
    expect(await sidecar.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    await producer.close();
  });

  it('SIGTERM still ends the sidecar, with code 1', async () => {
    const simulator = await start.simulator();
    simulator.addJob({ projectId: PROJECT, jobId: 'held', durationMs: 3_600_000 });
    const sidecar = start.command(['start'], environment(server.redis, simulator));
    await start.rawQueue(server.redis).add('x', { jobId: 'held' });
    await sidecar.logged('job accepted');
    await server.redis.crash();
    try {
      await sidecar.logged('redis connection lost');
      const before = Date.now();
      expect(await sidecar.kill('SIGTERM')).toEqual({ code: 1, signal: null });
      expect(Date.now() - before).toBeLessThan(15_000);
    } finally {
      await server.redis.restart();
    }
  });
});
