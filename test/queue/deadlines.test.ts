import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { FlowProducer, type JobsOptions, Queue } from 'bullmq';
import { EventPublisher } from '../../src/events/index.js';
import type { PollAnswer } from '../../src/polling/index.js';
import type { JobWorkerOptions } from '../../src/queue/index.js';
import { eventually } from '../support/eventually.js';
import { STREAM, useRedis } from '../support/redis.js';
import { RUNNING, startWorker as start } from '../support/worker.js';

const server = useRedis();
const steps: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  await server.redis.client.flushall();
});
afterEach(async () => {
  for (const step of steps.splice(0)) await step();
});

/** An event comes at most this long after its job's deadline, in milliseconds; the rest is for a machine that stalls. */
const LATE_MS = 1_000 + 3_000;
const TIMEOUT_MS = 2_500;

function startWorker(options: Partial<JobWorkerOptions> = {}) {
  const publisher = new EventPublisher({
    redis: server.redis.client,
    stream: STREAM,
    maxLength: 0,
    dedupTtlMs: 60_000,
    endpoint: 'https://cfw.example.com',
  });
  const started = start(server.redis.client, { callTimeoutMs: 200, publisher, ...options });
  steps.push(() => started.worker.stop());
  return started;
}

function openQueue(): Queue {
  const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
  steps.push(() => queue.close());
  return queue;
}

const add = (queue: Queue, id: string, opts: JobsOptions = {}, timeoutMs = TIMEOUT_MS) =>
  queue.add('x', { jobId: id, timeoutMs }, { jobId: `p.${id}`, ...opts });

/** That each of so many jobs has its one event, at its deadline and not much later. */
async function expectTimedOut(count: number, timeoutMs = TIMEOUT_MS): Promise<void> {
  const events = await server.redis.waitForEvents(count);
  for (const { id, time, data } of events) {
    expect([id, data.reason]).toEqual([id, 'TIMED_OUT']);
    const lateMs = Date.parse(time) - Date.parse(data.enqueuedAt) - timeoutMs;
    expect(lateMs).toBeGreaterThanOrEqual(-50);
    expect(lateMs).toBeLessThan(LATE_MS);
  }
  await sleep(300);
  expect(await server.redis.events()).toHaveLength(count);
}

describe('a deadline is kept wherever a job waits', () => {
  it('in a paused queue: waiting, first or last, with a priority, or delayed by its producer', async () => {
    const queue = openQueue();
    await queue.pause();
    startWorker();
    await sleep(1_200);
    await add(queue, 'waits');
    await add(queue, 'first', { lifo: true });
    await add(queue, 'prioritized', { priority: 3 });
    await add(queue, 'delayed', { delay: 3_600_000 });
    await expectTimedOut(4);
  });

  it('also if all of them were there before any process was', async () => {
    const queue = openQueue();
    await queue.pause();
    await add(queue, 'waits', {}, 4_000);
    await add(queue, 'prioritized', { priority: 3 }, 4_000);
    await add(queue, 'delayed', { delay: 3_600_000 }, 4_000);
    const flows = new FlowProducer({ prefix: '{cfw}', connection: server.redis.client });
    steps.push(() => flows.close());
    const parent = { name: 'x', queueName: 'cfw-jobs', data: { jobId: 'parent', timeoutMs: 4_000 } };
    await flows.add({ ...parent, opts: { jobId: 'p.parent' }, children: [{ name: 'child', queueName: 'other' }] });
    startWorker();
    await expectTimedOut(4, 4_000);
  });

  it('parked, in a queue that was paused since', async () => {
    const queue = openQueue();
    const { events } = startWorker({ schedule: () => 20_000 });
    let polls = 0;
    events.on('polled', () => {
      polls += 1;
    });
    await add(queue, 'parked');
    await eventually(() => polls === 1);
    await queue.pause();
    await expectTimedOut(1);
  });

  it('during a cool-down, with all slots of the process taken', async () => {
    const queue = openQueue();
    const throttled: PollAnswer = {
      ...{ kind: 'throttled', code: 'APIGW.0308', httpStatus: 429, message: 'too many' },
      retryAfterMs: 60_000,
    };
    startWorker({ concurrency: 4, poll: async () => throttled });
    await Promise.all(Array.from({ length: 12 }, (_, n) => add(queue, `j${n}`)));
    await expectTimedOut(12);
  });

  it('while a call never ends, and while others wait for its place', async () => {
    const queue = openQueue();
    startWorker({ concurrency: 500, poll: () => new Promise(() => {}) });
    await Promise.all(Array.from({ length: 70 }, (_, n) => add(queue, `j${n}`)));
    await expectTimedOut(70);
  });

  it('without a share of the rate', async () => {
    const queue = openQueue();
    startWorker({ ratePerSecond: 1, poll: async () => RUNNING });
    await Promise.all(Array.from({ length: 20 }, (_, n) => add(queue, `j${n}`)));
    await expectTimedOut(20);
  });
});

describe('the housekeeper', () => {
  it('is one of several, and its successor goes on from what it knew', async () => {
    const queue = openQueue();
    await queue.pause();
    const first = startWorker();
    await eventually(() => first.worker.fleet.isHousekeeper);
    const second = startWorker();
    await eventually(() => second.worker.fleet.processes === 2);
    expect(second.worker.fleet.isHousekeeper).toBe(false);
    await Promise.all(Array.from({ length: 50 }, (_, n) => add(queue, `j${n}`, {}, 7_000)));
    await eventually(() => second.worker.backlog.waiting === 50);
    expect(second.worker.backlog.paused).toBe(true);
    await first.worker.stop();
    await eventually(() => second.worker.fleet.isHousekeeper);
    await expectTimedOut(50, 7_000);
  });

  it('measures how long jobs have been due, also after their second park', async () => {
    const queue = openQueue();
    // Longer than the machine stalls: what counts from an earlier park is late by at least that.
    const { worker, late } = startWorker({ schedule: () => 2_500, concurrency: 1 });
    await add(queue, 'j', {}, 60_000);
    await eventually(() => late.length >= 3);
    expect(Math.max(...late.slice(1))).toBeLessThan(2_400);
    expect(worker.backlog.overdueMs).toBeLessThan(2_400);
    const pausedAt = performance.now();
    await queue.pause();
    await eventually(() => worker.backlog.overdueMs > 1_500);
    // It is due after the pause, or was at most that late.
    expect(worker.backlog.overdueMs).toBeLessThan(performance.now() - pausedAt + 2_400);
    // While it is paused that grows.
    await eventually(() => worker.backlog.overdueMs > 3_000);
  });

  it('leaves a last poll that was due while no process ran to the worker that fetches the job', async () => {
    const queue = openQueue();
    await add(queue, 'j', {}, 500);
    await sleep(1_000);
    let polls = 0;
    startWorker({
      poll: async () => {
        polls += 1;
        return { ...RUNNING, status: 'Success' };
      },
    });
    const [event] = await server.redis.waitForEvents(1);
    expect([event?.type, polls]).toEqual(['cfw.job.completed', 1]);
  });
});
