import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { EventPublisher } from '../../src/events/index.js';
import { CfwJobWaiter, EventTrimmedError, WaitTimeoutError } from '../../src/index.js';
import { endOf, eventOf } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { STREAM, useRedis } from '../support/redis.js';

const server = useRedis({ appendOnly: true });
let waiter: CfwJobWaiter;

beforeEach(async () => {
  await server.redis.client.flushall();
  waiter = new CfwJobWaiter({ redis: server.redis.client });
});
afterEach(() => waiter.close());

const publish = async (jobId: string, watchId: string | null = null) => {
  const options = { stream: STREAM, maxLength: 0, dedupTtlMs: 60_000, endpoint: 'https://cfw.example.com' };
  const end = endOf({ ...eventOf(jobId).data, projectId: 'p', jobId, watchId });
  return await new EventPublisher({ redis: server.redis.client, ...options }).publish(end);
};
const job = (jobId: string, watchId?: string) => ({ projectId: 'p', jobId, watchId });
const connections = async () => (await server.redis.connections()).length;

describe('waiting for a job', () => {
  it('resolves with its event, published before, during or after the call', async () => {
    await publish('before');
    const before = waiter.waitForJob(job('before'));
    const during = waiter.waitForJob(job('during'));
    await publish('during');
    expect([(await before).id, (await during).id]).toEqual(['before', 'during']);
    const after = waiter.waitForJob(job('after'), { timeout: 60_000 });
    await publish('after');
    expect(await after).toMatchObject({ type: 'cfw.job.completed', data: { metadata: { orderId: 'after' } } });
  });

  it('serves a thousand waiters on two connections, with no gap while events are published', async () => {
    const ids = Array.from({ length: 1_000 }, (_, n) => `job${n}`);
    const before = await connections();
    // Each is published at another moment of its waiter's beginning.
    const publishing = (async () => {
      for (let n = 0; n < ids.length; n += 50) await Promise.all(ids.slice(n, n + 50).map((id) => publish(id)));
    })();
    const waiting = Promise.all(ids.map(async (id) => (await waiter.waitForJob(job(id), { timeout: 60_000 })).id));
    const more = Promise.all(ids.map(async (id) => (await waiter.waitForJob(job(id), { timeout: 60_000 })).id));
    expect(await waiting).toEqual(ids);
    expect(await more).toEqual(ids);
    await publishing;
    // None if those of the test before are still open.
    expect((await connections()) - before).toBeLessThanOrEqual(2);
  });

  it('tells apart projects and watches', async () => {
    const other = waiter.waitForJob({ projectId: 'other', jobId: 'a' }, { timeout: 300 });
    const again = waiter.waitForJob(job('a', 'again'), { timeout: 60_000 });
    const first = waiter.waitForJob(job('a'), { timeout: 60_000 });
    await publish('a', 'again');
    await publish('a');
    expect((await again).id).toBe('a.again');
    expect((await first).id).toBe('a');
    await expect(other).rejects.toThrow(WaitTimeoutError);
    await expect(other).rejects.toThrow('other.a had no event within 300 ms');
  });

  it('gives up when told to', async () => {
    const stop = new AbortController();
    const waiting = waiter.waitForJob(job('a'), { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    const closing = waiter.waitForJob(job('a'));
    setTimeout(() => waiter.close(), 50);
    await expect(closing).rejects.toThrow('the waiter was closed');
  });

  it('says so where the event has been trimmed', async () => {
    const { entryId } = await publish('a');
    await server.redis.client.xdel(STREAM, entryId);
    const waiting = waiter.waitForJob(job('a'));
    await expect(waiting).rejects.toThrow(EventTrimmedError);
    await expect(waiting).rejects.toMatchObject({ status: 'completed' });
  });

  it('goes on waiting over a restart of Redis', async () => {
    const waiting = waiter.waitForJob(job('a'), { timeout: 30_000 });
    await eventually(async () => (await connections()) > 1);
    await server.redis.crash();
    await server.redis.restart();
    await publish('a');
    expect((await waiting).id).toBe('a');
  });
});
