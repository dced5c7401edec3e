import { beforeEach, describe, expect, it } from '@jest/globals';
import { type CfwJobEventData, EventPublisher, findPublished } from '../../src/events/index.js';
import { endOf } from '../support/events.js';
import { STREAM, useRedis } from '../support/redis.js';

const server = useRedis();
beforeEach(async () => {
  await server.redis.client.flushall();
});

const publisher = (options: Partial<{ maxLength: number; dedupTtlMs: number }> = {}) =>
  new EventPublisher({
    redis: server.redis.client,
    stream: STREAM,
    maxLength: 0,
    dedupTtlMs: 60_000,
    endpoint: 'https://cfw.example.com',
    ...options,
  });

const end = (jobId: string, change: Partial<CfwJobEventData> = {}) =>
  endOf({ cfwStatus: 'Success', polls: 3, ...change, projectId: change.projectId ?? 'project', jobId });

describe('publishing once', () => {
  it('appends one entry, however many publish the same end at the same time', async () => {
    const publishers = Array.from({ length: 10 }, () => publisher());
    const results = await Promise.all(Array.from({ length: 100 }, (_, n) => publishers[n % 10]?.publish(end('job'))));
    expect(results.filter((result) => result?.isNew)).toHaveLength(1);
    const [entry, ...others] = await server.redis.client.xrange(STREAM, '-', '+');
    expect(others).toEqual([]);
    expect(new Set(results.map((result) => result?.entryId))).toEqual(new Set([entry?.[0]]));
  });

  it('keeps to the first verdict: a later one for the same job is not told', async () => {
    await publisher().publish(end('job'));
    const late = end('job', { reason: 'TIMED_OUT', message: 'too late', cfwStatus: 'Running' });
    const { isNew, event } = await publisher().publish(late);
    const events = await server.redis.events();
    expect(events.map(({ type }) => type)).toEqual(['cfw.job.completed']);
    // Whoever publishes it learns how the job has ended.
    expect([isNew, event?.data]).toEqual([false, events[0]?.data]);
  });

  it('tells apart projects, jobs, watches and entries of the queue', async () => {
    await publisher().publish(end('job'));
    await publisher().publish(end('job', { projectId: 'other' }));
    await publisher().publish(end('job', { watchId: 'w' }));
    await publisher().publish(end('job2'));
    const invalid = { ...end('job').job, problems: ['no'] };
    await publisher().publishInvalid({
      queueName: 'cfw-jobs',
      queueJobId: '7',
      enqueuedAt: 0,
      endedAt: 1,
      job: invalid,
    });
    const ids = (await server.redis.events()).map(({ id }) => id);
    expect(ids).toEqual(['job', 'job', 'job.w', 'job2', 'bullmq:cfw-jobs:7']);
  });

  it('remembers nothing where the event could not be appended, and says so', async () => {
    await server.redis.client.set(STREAM, 'not a stream');
    await expect(publisher().publish(end('job'))).rejects.toThrow('WRONGTYPE');
    await server.redis.client.del(STREAM);
    expect(await publisher().publish(end('job'))).toMatchObject({ isNew: true });
  });

  it('remembers for the set time, and trims to about the set length', async () => {
    const few = publisher({ maxLength: 10, dedupTtlMs: 60_000 });
    for (let n = 0; n < 1_000; n += 1) await few.publish(end(`job${n}`));
    const length = await server.redis.client.xlen(STREAM);
    expect(length).toBeGreaterThanOrEqual(10);
    expect(length).toBeLessThan(300);
    const ttl = await server.redis.client.pttl(`${STREAM}:published:project.job0`);
    expect(ttl).toBeGreaterThan(0);
    expect(ttl).toBeLessThanOrEqual(60_000);
  });

  it('tells how a job ended, also after its entry was trimmed', async () => {
    await publisher().publish(end('gone', { reason: 'JOB_FAILED', message: 'no' }));
    await publisher().publish(end('there'));
    const [gone] = await server.redis.client.xrange(STREAM, '-', '+');
    await server.redis.client.xdel(STREAM, gone?.[0] ?? '');
    const jobs = ['gone', 'there', 'never'].map((jobId) => ({ projectId: 'project', jobId }));
    const [first, second, third] = await findPublished(server.redis.client, STREAM, jobs);
    expect(first).toMatchObject({ status: 'failed', event: null });
    expect(second).toMatchObject({ status: 'completed', event: { id: 'there' } });
    expect(third).toBeUndefined();
  });
});
