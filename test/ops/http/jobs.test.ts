import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { preferredWait } from '../../../src/ops/http/waits.js';
import { ask } from '../../support/ask.js';
import { eventually } from '../../support/eventually.js';
import { TestRedis, useRedis } from '../../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../../support/sidecar.js';

const server = useRedis({ appendOnly: true });
const start = useCleanUp();

beforeEach(async () => {
  await server.redis.client.flushall();
});

async function running(redis: TestRedis = server.redis) {
  const simulator = await start.simulator();
  const sidecar = await start.sidecar(environment(redis, simulator));
  await eventually(async () => (await ask(sidecar.url, '/readyz')).status === 200, { what: 'readiness' });
  // Only then has it all its connections.
  const listens = async () => (await redis.connections()).some((line) => line.includes(' cmd=bzpopmin '));
  await eventually(listens, { what: 'that it waits for jobs' });
  const enqueue = async (durationMs: number) => {
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs, outcome: 'Success' });
    await ask(sidecar.url, '/v1/jobs', { method: 'POST', body: { jobId } });
    return jobId;
  };
  const wait = (jobId: string, prefer: string) =>
    ask(sidecar.url, `/v1/jobs/${PROJECT}/${jobId}`, { headers: { prefer } });
  return { simulator, sidecar, url: sidecar.url, enqueue, wait };
}

describe('GET /v1/jobs', () => {
  it('lists jobs page by page, in their states', async () => {
    const { url, enqueue } = await running();
    const ended = [await enqueue(0), await enqueue(0), await enqueue(0)];
    await eventually(async () => (await server.redis.events()).length === 3);
    const running_ = await enqueue(600_000);
    await eventually(async () => (await ask(url, '/v1/jobs?state=polling')).json.jobs[0]?.polls > 0);
    const first = await ask(url, '/v1/jobs?limit=2');
    expect(first.status).toBe(200);
    const [{ nextPollAt }] = first.json.jobs;
    expect(nextPollAt).toMatch(/^20.*Z$/);
    expect(first.json.jobs).toMatchObject([
      { projectId: PROJECT, jobId: running_, state: 'polling', cfwStatus: 'Running', event: null },
      { state: 'completed', event: { type: 'cfw.job.completed' } },
    ]);
    const second = await ask(url, `/v1/jobs?limit=2&cursor=${first.json.next}`);
    const ids = [...first.json.jobs, ...second.json.jobs].map(({ jobId }: { jobId: string }) => jobId);
    expect(new Set(ids)).toEqual(new Set([running_, ...ended]));
    expect((await ask(url, `/v1/jobs?state=failed&projectId=${PROJECT}`)).json).toEqual({ jobs: [], next: null });
  });

  it.each<[string, RegExp]>([
    ['state=running', /^state must be one of queued, polling, completed, failed/],
    ['limit=0', /^limit must be a whole number from 1 to 200/],
    ['limit=x', /^limit must be/],
    ['limit=1&limit=2', /^limit must be/],
    ['projectId=a/b', /^projectId must be/],
    ['cursor=x', /^cursor is invalid/],
  ])('refuses %s', async (query, detail) => {
    const { url } = await running();
    const { status, json } = await ask(url, `/v1/jobs?${query}`);
    expect([status, json.status]).toEqual([400, 400]);
    expect(json.detail).toMatch(detail);
  });
});

describe('Prefer: wait', () => {
  it('answers once the job has ended, or when the time is over; else at once', async () => {
    const { url, enqueue, wait } = await running();
    const [soon, late] = [await enqueue(700), await enqueue(600_000)];
    const [ended, standing, now] = await Promise.all([
      wait(soon, 'respond-async, Wait=30'),
      wait(late, 'wait=1'),
      ask(url, `/v1/jobs/${PROJECT}/${late}`),
    ]);
    expect(ended.json).toMatchObject({ state: 'completed', event: { id: soon } });
    expect(ended.headers['preference-applied']).toBe('wait=30');
    expect(standing.json).toMatchObject({ jobId: late, event: null });
    expect(standing.headers['preference-applied']).toBe('wait=1');
    expect(now.headers['preference-applied']).toBeUndefined();
    expect((await wait(soon, 'wait=60')).json.state).toBe('completed');
    expect((await wait('unknown', 'wait=60')).status).toBe(404);
  });

  it('holds a thousand requests on one more connection to Redis, and forgets clients that go away', async () => {
    const { redis } = server;
    const { url, enqueue, wait } = await running();
    const job = await enqueue(5_000);
    const connections = async () => (await redis.connections()).length;
    const before = await connections();
    const gone = new AbortController();
    const leaving = Array.from({ length: 200 }, () =>
      fetch(`${url}/v1/jobs/${PROJECT}/${job}`, { headers: { prefer: 'wait=60' }, signal: gone.signal }),
    );
    const waiting = Array.from({ length: 1_000 }, () => wait(job, 'wait=60'));
    await eventually(async () => (await redis.connections()).some((line) => line.includes(' cmd=xread ')));
    await sleep(1_000);
    gone.abort();
    await Promise.allSettled(leaving);
    // One for all that wait, and the producer's own, which it opens with its first call.
    expect((await connections()) - before).toBeLessThanOrEqual(2);
    const answers = await Promise.all(waiting);
    expect(new Set(answers.map(({ json }) => json.state))).toEqual(new Set(['completed']));
  });

  it('goes on over a restart of Redis', async () => {
    const redis = await TestRedis.start({ appendOnly: true });
    start.onEnd(() => redis.stop());
    const { enqueue, wait } = await running(redis);
    const job = await enqueue(4_000);
    const waiting = wait(job, 'wait=60');
    await eventually(async () => (await redis.connections()).some((line) => line.includes(' cmd=xread ')));
    await redis.crash();
    await sleep(500);
    await redis.restart();
    expect((await waiting).json.state).toBe('completed');
  });

  it('is answered with where the job stands when the sidecar stops', async () => {
    const { enqueue, wait, sidecar } = await running();
    const job = await enqueue(600_000);
    const waiting = Promise.all(Array.from({ length: 20 }, () => wait(job, 'wait=60')));
    // Each of them asks first where the job stands, the first one then begins to read; the others follow within a moment.
    await eventually(async () => (await server.redis.connections()).some((line) => line.includes(' cmd=xread ')));
    await sleep(1_000);
    await sidecar.stop();
    for (const { status, json } of await waiting) expect([status, json.jobId]).toEqual([200, job]);
  });

  it.each<[string | undefined, number | undefined]>([
    [undefined, undefined],
    ['wait=5', 5],
    ['respond-async, WAIT = 7; x=y, wait=9', 7],
    ['wait="3"', 3],
    ['wait=61', 60],
    ['wait=0', 0],
    ['wait', undefined],
    ['wait=-1', undefined],
    ['wait=soon', undefined],
    ['return=minimal', undefined],
  ])('%s means %s seconds', (header, seconds) => {
    expect(preferredWait(header)).toBe(seconds);
  });
});

describe('DELETE /v1/jobs/{projectId}/{jobId}', () => {
  it('stops watching, once; one that had ended stays as it was', async () => {
    const { url, enqueue } = await running();
    const [job, over] = [await enqueue(600_000), await enqueue(0)];
    await eventually(async () => (await server.redis.events()).length === 1);
    const remove = (id: string) => ask(url, `/v1/jobs/${PROJECT}/${id}`, { method: 'DELETE' });
    const { status, json } = await remove(job);
    expect(status).toBe(200);
    expect(json).toMatchObject({ state: 'failed', event: { id: job, data: { reason: 'CANCELLED' } } });
    expect(json.event).toEqual((await ask(url, `/v1/jobs/${PROJECT}/${job}`)).json.event);
    expect((await remove(job)).json).toEqual(json);
    expect((await remove(over)).json).toMatchObject({ state: 'completed' });
    expect((await remove('unknown')).status).toBe(404);
    expect((await server.redis.events()).map(({ id }) => id)).toEqual([over, job]);
    // Nothing is enqueued again while it is known.
    const again = await ask(url, '/v1/jobs', { method: 'POST', body: { jobId: job } });
    expect(again.json.jobs).toMatchObject([{ state: 'failed' }]);
  });
});
