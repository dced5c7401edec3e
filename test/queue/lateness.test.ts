import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Queue } from 'bullmq';
import type { JobWorkerOptions } from '../../src/queue/index.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { RUNNING, startWorker as start } from '../support/worker.js';

const server = useRedis();
const steps: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  await server.redis.client.flushall();
});
afterEach(async () => {
  await Promise.all(steps.splice(0).map((step) => step()));
});

/** A worker whose polls are written down: when each began, and how late that was. */
function startWorker(options: Partial<JobWorkerOptions> = {}) {
  const began: number[] = [];
  const limited = { fetch: 0, held: 0, heldAt: 0 };
  const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
  const { worker, late, events } = start(server.redis.client, {
    concurrency: 200,
    schedule: () => 600_000,
    poll: async () => {
      began.push(Date.now());
      await sleep(300);
      return RUNNING;
    },
    ...options,
  });
  events.on('limited', (what) => {
    limited[what] += 1;
    if (what === 'held') limited.heldAt = Date.now();
  });
  steps.push(
    () => worker.stop(),
    () => queue.close(),
  );
  const enqueue = (count: number, opts: { delay?: number } = {}) =>
    queue.addBulk(
      Array.from({ length: count }, (_, n) => ({
        name: 'x',
        data: { jobId: `j${n}` },
        opts: { ...opts, jobId: `p.j${n}` },
      })),
    );
  const polled = (count: number) => eventually(() => late.length >= count, { what: `${count} polls` });
  return { worker, queue, began, late, limited, enqueue, polled };
}

describe('how late a poll begins', () => {
  it('counts from when the job was due, not from when it was enqueued', async () => {
    const { began, late, enqueue, polled } = startWorker();
    const [job] = await enqueue(1, { delay: 700 });
    await polled(1);
    const dueAt = (began[0] ?? 0) - (late[0] ?? 0);
    expect(dueAt - (job?.timestamp ?? 0)).toBeGreaterThanOrEqual(690);
  });

  it('includes what a job waited for a turn', async () => {
    const { late, limited, enqueue, polled } = startWorker({ ratePerSecond: 25 });
    await enqueue(30);
    await polled(30);
    // The thirtieth call of 25 a second.
    expect(Math.max(...late)).toBeGreaterThan(1_000);
    expect(limited.fetch).toBeGreaterThan(0);
  });

  it('includes what it waited for a place among the calls of this process', async () => {
    const { late, enqueue, polled } = startWorker();
    await enqueue(100);
    await polled(100);
    // 48 calls at a time, of 300 ms each.
    expect(late.filter((lateMs) => lateMs >= 590).length).toBeGreaterThanOrEqual(4);
  });

  it('has no hold in it', async () => {
    const { worker, began, late, enqueue, polled } = startWorker({ schedule: () => 1_000 });
    await enqueue(1);
    await eventually(() => worker.load.held === 1, { what: 'that it is held' });
    await polled(2);
    // Its answer took 300 ms; the hold began then, and was 1 s long. 200 ms are for slow machines.
    expect(late[1]).toBeLessThanOrEqual((began[1] ?? 0) - (began[0] ?? 0) - 1_100);
  });

  it('has what a held job that was sent to the backlog waited there, and not its hold', async () => {
    const { worker, queue, began, late, limited, enqueue, polled } = startWorker({ schedule: () => 4_000 });
    await enqueue(1);
    await eventually(() => worker.load.held === 1, { what: 'that it is held' });
    // Surely before it is due.
    await queue.pause();
    await eventually(() => limited.held === 1, { what: 'that it is sent to the backlog' });
    await sleep(500);
    const resumedAt = Date.now();
    await queue.resume();
    await polled(2);
    expect(late[1]).toBeGreaterThanOrEqual(resumedAt - limited.heldAt);
    // Its answer took 300 ms; the hold began then, and was 4 s long. 200 ms are for clocks that differ.
    expect(late[1]).toBeLessThanOrEqual((began[1] ?? 0) - (began[0] ?? 0) - 4_100);
  });
});
