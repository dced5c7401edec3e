import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { CfwJobProducer, UnknownEndpointError } from '../../src/index.js';
import { announceEndpoint } from '../../src/queue/index.js';
import { eventually } from '../support/eventually.js';
import { STREAM, useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis({ appendOnly: true });
const start = useCleanUp();

beforeEach(async () => {
  await server.redis.client.flushall();
});

function producing(options: { endpoint?: string } = {}): CfwJobProducer {
  const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT, ...options });
  start.onEnd(() => producer.close());
  return producer;
}
const announced = { endpoint: 'https://cfw.example.com', maxLength: 1_000, dedupTtlMs: 60_000 };
const job = (jobId: string, watchId?: string) => ({ projectId: PROJECT, jobId, watchId });

describe('cancelling', () => {
  it('publishes the event without a sidecar, with all that is known of the job', async () => {
    const producer = producing();
    await announceEndpoint(server.redis.client, STREAM, announced);
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    await producer.enqueue({ jobId: 'a', metadata: { empty: [], n: 1.0 }, traceparent });
    await producer.enqueue({ jobId: 'a', watchId: 'again' });
    await start.rawQueue(server.redis).add('raw', { jobId: 'b' }, { jobId: `${PROJECT}.b`, delay: 60_000 });
    const jobs = [job('a'), job('a', 'again'), job('b'), job('unknown'), job('a')];
    const results = await producer.cancelMany(jobs);
    expect(results.map(({ result }) => result)).toEqual(['cancelled', 'cancelled', 'cancelled', 'unknown', 'ended']);
    const events = await server.redis.events();
    expect(events.map(({ id }) => id)).toEqual(['a', 'a.again', 'b']);
    expect(events[0]).toMatchObject({
      source: `https://cfw.example.com/v3/${PROJECT}`,
      type: 'cfw.job.failed',
      subject: 'a',
      traceparent,
      data: { status: 'failed', reason: 'CANCELLED', polls: 0, cfwStatus: null, metadata: { empty: [], n: 1 } },
    });
    expect(results[0]?.job).toMatchObject({ state: 'failed', event: events[0] });
    expect(results[3]?.job).toBeUndefined();
    const ttl = await server.redis.client.pttl(`${STREAM}:published:${PROJECT}.a`);
    expect(ttl).toBeGreaterThan(50_000);
    expect(ttl).toBeLessThanOrEqual(60_000);
  });

  it('needs to know the endpoint, by a sidecar or as an option', async () => {
    await producing().enqueue({ jobId: 'a' });
    await expect(producing().cancel(job('a'))).rejects.toThrow(UnknownEndpointError);
    expect(await server.redis.events()).toEqual([]);
    const producer = producing({ endpoint: 'http://127.0.0.1:1' });
    expect((await producer.cancel(job('a')))?.event?.source).toBe(`http://127.0.0.1:1/v3/${PROJECT}`);
  });

  it('has one event for each job, whatever it races with, over workers that are killed', async () => {
    const simulator = await start.simulator();
    const env = { ...environment(server.redis, simulator), CFW_RATE_LIMIT: '0' };
    const producer = producing({ endpoint: simulator.url });
    // Every other one ends while all are cancelled, half of them by two processes.
    const ids = Array.from({ length: 300 }, (_, n) => {
      const durationMs = n % 2 === 0 ? n * 10 : 600_000;
      return simulator.addJob({ projectId: PROJECT, durationMs, outcome: 'Success' }).jobId;
    });
    await producer.enqueueMany(ids.map((jobId) => ({ jobId })));
    let worker = start.command(['start'], env);
    const url = String((await worker.logged('sidecar started')).url);
    const shuffled = ids.map((id, n) => [(n * 7_919) % 300, id] as const).sort(([a], [b]) => a - b);
    for (const [n, [, id]] of shuffled.entries()) {
      const byHttp =
        n < 150 ? fetch(`${url}/v1/jobs/${PROJECT}/${id}`, { method: 'DELETE' }).catch(() => {}) : undefined;
      await Promise.all([producer.cancel(job(id)), byHttp]);
      if (n === 150 || n === 230) {
        await worker.kill('SIGKILL');
        worker = start.command(['start'], env);
      }
    }
    await worker.logged('sidecar started');
    // A second event for a job would be wrong, so give one the time to show.
    await sleep(1_500);
    const events = await server.redis.events();
    expect(events).toHaveLength(300);
    expect(new Set(events.map(({ id }) => id))).toEqual(new Set(ids));
    for (const { data } of events) expect(['CANCELLED', null]).toContain(data.reason);
    expect(events.filter(({ data }) => data.reason === 'CANCELLED').length).toBeGreaterThanOrEqual(150);
  });

  it('lets no call go out for a job in the backlog, and publishes nothing more, though nothing is remembered of its event', async () => {
    const simulator = await start.simulator();
    const producer = producing({ endpoint: simulator.url });
    const raw = start.rawQueue(server.redis);
    const ids = ['cancelled', 'forged'].map((jobId) => `${PROJECT}.${jobId}`) as [string, string];
    for (const id of ids) await raw.add('raw', { jobId: id.split('.')[1] }, { jobId: id, delay: 500 });
    await producer.cancel(job('cancelled'));
    await server.redis.client.del(`${STREAM}:published:${ids[0]}`);
    // What another program may leave there is no reason to let go of a job.
    await server.redis.client.hset(raw.toKey(ids[1]), 'failedReason', 'CANCELLED');
    simulator.addJob({ projectId: PROJECT, jobId: 'forged', durationMs: 0 });
    await start.sidecar(environment(server.redis, simulator));
    await eventually(async () => (await raw.getCompletedCount()) === 2, { what: 'both jobs to be done' });
    expect((await server.redis.events()).map(({ id, data }) => [id, data.reason])).toEqual([
      ['cancelled', 'CANCELLED'],
      ['forged', null],
    ]);
    expect(simulator.calls()).toBe(1);
  });

  it('lets at most one more call go out', async () => {
    const simulator = await start.simulator();
    await start.sidecar(environment(server.redis, simulator));
    const long = simulator.addJob({ projectId: PROJECT, durationMs: 600_000 });
    const producer = producing();
    await producer.enqueue({ jobId: long.jobId });
    await eventually(() => long.callTimes.length > 0, { what: 'a call' });
    await producer.cancel(job(long.jobId));
    const calls = long.callTimes.length;
    await sleep(5_000);
    expect(long.callTimes.length - calls).toBeLessThanOrEqual(1);
  });
});
