import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EventPublisher } from '../../src/events/index.js';
import { CfwJobProducer, type CfwListedJob, type ListJobsOptions } from '../../src/index.js';
import { endOf, eventOf } from '../support/events.js';
import { STREAM, useRedis } from '../support/redis.js';
import { useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
let producer: CfwJobProducer;

beforeEach(async () => {
  await server.redis.client.flushall();
  producer = new CfwJobProducer({ redis: server.redis.client, projectId: 'p' });
});
afterEach(() => producer.close());

const names = (jobs: readonly CfwListedJob[]) => jobs.map(({ jobId, state }) => `${jobId} ${state}`);
const key = (name: string) => `{cfw}:cfw-jobs:${name}`;

/** All pages of a list, and how many jobs each of them had. */
async function pages(options: ListJobsOptions): Promise<{ jobs: CfwListedJob[]; sizes: number[] }> {
  const jobs: CfwListedJob[] = [];
  const sizes: number[] = [];
  let cursor: string | undefined;
  do {
    const page = await producer.list({ ...options, cursor });
    jobs.push(...page.jobs);
    sizes.push(page.jobs.length);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  return { jobs, sizes };
}

/** Makes a job look as a worker leaves it between two polls. */
async function polled(jobId: string, dueAt: number, place: 'delayed' | 'active' | 'wait'): Promise<void> {
  const { client } = server.redis;
  const history = { ...eventOf(jobId).data, lastPollAt: dueAt - 1_000, notFoundSince: null, deniedSince: null };
  const more = { rejectedSince: null, unknownStatusSince: null, runningAt: null, polls: 3, errorCounts: {} };
  const progress = JSON.stringify({ ...history, ...more, cfwStatus: 'Running', enqueuedAt: dueAt - 9_000, dueAt });
  await producer.enqueue({ jobId });
  await client.lrem(key('wait'), 1, `p.${jobId}`);
  await client.hset(key(`p.${jobId}`), { ats: 1, processedOn: dueAt - 5_000, progress });
  if (place === 'delayed') await client.zadd(key('delayed'), dueAt * 4_096, `p.${jobId}`);
  else await client.lpush(key(place), `p.${jobId}`);
}

async function ended(jobId: string, status: 'completed' | 'failed', projectId = 'p'): Promise<void> {
  const options = { stream: STREAM, maxLength: 0, dedupTtlMs: 60_000, endpoint: 'https://cfw.example.com' };
  const reason = status === 'failed' ? ('JOB_FAILED' as const) : null;
  const end = endOf({ ...eventOf(jobId).data, projectId, jobId, watchId: null, reason, message: null });
  await new EventPublisher({ redis: server.redis.client, ...options }).publish(end);
}

/** Some in each state and place; the names are in the order in which they belong. */
async function some(): Promise<string[]> {
  const now = Date.now();
  await ended('ended-older', 'failed');
  await ended('ended-newer', 'completed');
  await polled('due-4', now + 40_000, 'delayed');
  await polled('due-2', now + 20_000, 'delayed');
  await polled('due-3', now + 30_000, 'active');
  await polled('due-1', now + 10_000, 'active');
  await polled('due-0', now - 1_000, 'wait');
  await start.rawQueue(server.redis).add('raw', { jobId: 'queued-delayed', projectId: 'p' }, { delay: 25_000 });
  await start.rawQueue(server.redis).add('raw', { jobId: 'queued-urgent' }, { priority: 3 });
  await producer.enqueue({ jobId: 'queued-older' });
  await start.rawQueue(server.redis).add('raw', { jobId: 'queued-newer' });
  return [
    ...['queued-newer', 'queued-older', 'queued-urgent', 'queued-delayed'].map((name) => `${name} queued`),
    ...[0, 1, 2, 3, 4].map((n) => `due-${n} polling`),
    ...['ended-newer completed', 'ended-older failed'],
  ];
}

describe('the list of jobs', () => {
  it('has all jobs in their order, whatever the size of its pages', async () => {
    const expected = await some();
    for (const limit of [50, 1, 2, 3, 7]) expect(names((await pages({ limit })).jobs)).toEqual(expected);
    const { jobs, next } = await producer.list();
    expect(next).toBeNull();
    expect(jobs[6]).toMatchObject({ projectId: 'p', jobId: 'due-2', polls: 3, cfwStatus: 'Running', event: null });
    expect(Date.parse(jobs[6]?.nextPollAt ?? '')).toBeGreaterThan(Date.now());
    expect(jobs[9]).toMatchObject({ jobId: 'ended-newer', nextPollAt: null, event: { type: 'cfw.job.completed' } });
  });

  it('can be narrowed down to a state, a project, an id', async () => {
    const expected = await some();
    for (const state of ['queued', 'polling', 'completed', 'failed'] as const) {
      const own = expected.filter((name) => name.endsWith(state));
      for (const limit of [50, 1]) expect(names((await pages({ state, limit })).jobs)).toEqual(own);
    }
    await producer.enqueue({ jobId: 'other', projectId: 'q', metadata: { projectId: 'p' } });
    await ended('other-ended', 'completed', 'q');
    expect(names((await pages({ projectId: 'p', limit: 2 })).jobs)).toEqual(expected);
    expect(names((await pages({ projectId: 'q' })).jobs)).toEqual(['other queued', 'other-ended completed']);
    expect(names((await pages({ jobId: 'due-3' })).jobs)).toEqual(['due-3 polling']);
  });

  it('has a job once, also if it stands in the queue twice or is still there after its end', async () => {
    const raw = start.rawQueue(server.redis);
    for (let n = 0; n < 3; n += 1) await raw.add('raw', { jobId: 'twin' });
    await producer.enqueue({ jobId: 'over' });
    await ended('over', 'failed');
    expect(names((await producer.list()).jobs)).toEqual(['twin queued', 'over failed']);
  });

  it('has entries whose data is invalid, and passes over what is no event', async () => {
    await start.rawQueue(server.redis).add('raw', 'nonsense');
    await server.redis.client.xadd(STREAM, '*', 'some', 'thing');
    const { jobs, next } = await producer.list();
    expect(jobs).toMatchObject([{ projectId: null, jobId: null, state: 'queued' }]);
    expect(next).toBeNull();
  });

  it('looks at a bounded number of jobs for each page', async () => {
    const { client } = server.redis;
    await producer.enqueueMany(Array.from({ length: 6_000 }, (_, n) => ({ jobId: `parked-${n}` })));
    const now = Date.now();
    const pipeline = client.pipeline().del(key('wait'));
    for (let n = 0; n < 6_000; n += 1) {
      pipeline.hset(key(`p.parked-${n}`), 'ats', 1, 'processedOn', now);
      pipeline.zadd(key('delayed'), (now + 60_000 + n) * 4_096, `p.parked-${n}`);
    }
    await pipeline.exec();
    await start.rawQueue(server.redis).add('raw', { jobId: 'far-off' }, { delay: 3_600_000 });
    const { jobs, sizes } = await pages({ state: 'queued' });
    expect(names(jobs)).toEqual(['far-off queued']);
    expect(sizes).toEqual([0, 0, 0, 1]);
    const polling = await pages({ state: 'polling', limit: 200 });
    expect(new Set(names(polling.jobs)).size).toBe(6_000);
    expect(polling.jobs.map(({ jobId }) => jobId).slice(4_999, 5_002)).toEqual(
      [4_999, 5_000, 5_001].map((n) => `parked-${n}`),
    );
  });

  it('refuses what is no cursor, or one of another list, and limits beyond its bounds', async () => {
    await some();
    const { next } = await producer.list({ state: 'queued', limit: 1 });
    await expect(producer.list({ state: 'failed', cursor: next ?? '' })).rejects.toThrow(/cursor is invalid/);
    for (const cursor of ['', 'x', Buffer.from('["wait","x",""]').toString('base64url')]) {
      await expect(producer.list({ cursor })).rejects.toThrow(/cursor is invalid/);
    }
    for (const limit of [0, 201, 1.5]) await expect(producer.list({ limit })).rejects.toThrow(/expected 1 to 200/);
  });
});
