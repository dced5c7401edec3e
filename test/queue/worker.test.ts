import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { loadBaseConfig } from '../../src/config/index.js';
import { RedisClock } from '../../src/queue/clock.js';
import type { JobWorker, JobWorkerOptions } from '../../src/queue/index.js';
import { Intake } from '../../src/queue/intake.js';
import { Pacer } from '../../src/queue/pacer.js';
import { Slots } from '../../src/queue/slots.js';
import { QueueStore, type Taken } from '../../src/queue/store.js';
import { serviceRedis } from '../../src/redis/index.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { enqueue as add, RUNNING, SUCCESS, startWorker as start } from '../support/worker.js';

const server = useRedis();
beforeEach(async () => {
  await server.redis.client.flushall();
});
const workers: JobWorker[] = [];
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
});

function startWorker(options: Partial<JobWorkerOptions> = {}) {
  const started = start(server.redis.client, options);
  workers.push(started.worker);
  return started;
}
const enqueue = (count: number, from = 0) => add(server.redis.client, count, from);

describe('a worker', () => {
  it('that is begun anew lets go of what it holds, and loses none of it', async () => {
    let over = false;
    const polls: string[] = [];
    const { worker, ended, errors } = startWorker({
      schedule: () => (over ? 100 : 14_000),
      poll: async ({ jobId }) => {
        polls.push(jobId);
        // So that all have been fetched before the first one might be held.
        await sleep(300);
        return over ? SUCCESS : RUNNING;
      },
    });
    await enqueue(20);
    await eventually(() => worker.load.held === 20, { what: 'that all jobs are held' });
    over = true;
    worker.restart();
    await eventually(() => ended.length === 20, { what: 'the end of all jobs' });
    expect(new Set(ended).size).toBe(20);
    expect(polls).toHaveLength(40);
    expect(errors).toEqual([]);
    expect(await worker.stop()).toBe(true);
  });

  it('with more to do than its limit allows asks Redis less than once for each call', async () => {
    const redis = serviceRedis(loadBaseConfig({ REDIS_URL: server.redis.url }).redis) as Redis;
    let calls = 0;
    const { worker } = start(redis, {
      ratePerSecond: 100,
      schedule: () => 60_000,
      poll: async () => {
        calls += 1;
        // The answers to calls that were made together come one by one.
        await sleep(10 + (calls % 3) * 5);
        return RUNNING;
      },
    });
    await enqueue(1_500);
    await eventually(() => calls > 250, { what: 'that its calls are made together' });
    const reads = async () =>
      Number(/total_reads_processed:(\d+)/.exec(await server.redis.client.info('stats'))?.[1] ?? Number.NaN);
    const perCall = async () => {
      const [readsBefore, callsBefore] = [await reads(), calls];
      await sleep(2_000);
      return ((await reads()) - readsBefore) / (calls - callsBefore);
    };
    // After a stall of the machine each call is made by itself for a second. Without calls that are made together it is 0.75 or more.
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 5 && best >= 0.7; round += 1) best = Math.min(best, await perCall());
    expect(best).toBeLessThan(0.7);
    await worker.stop();
    redis.disconnect();
  });

  it('whose fetch never returns tells for how long jobs have been due, and begins anew by itself', async () => {
    // Only the first fetch: a reply that was lost with its connection, say.
    jest.spyOn(QueueStore.prototype, 'take').mockImplementationOnce(() => new Promise(() => {}));
    const { worker, ended, errors } = startWorker({ poll: async () => SUCCESS });
    await enqueue(3);
    await eventually(() => worker.stuckMs > 2_000, { what: 'that it is known to be stuck' });
    expect(ended).toEqual([]);
    await eventually(() => ended.length === 3, { what: 'the end of all jobs' });
    expect(errors).toEqual(['jobs are due and none is taken; fetching starts again']);
    await eventually(() => worker.stuckMs === 0);
  });

  it('parks a job that it could not work on, and takes it up again', async () => {
    let failures = 0;
    const ended: string[] = [];
    const { errors } = startWorker({
      poll: async () => SUCCESS,
      publisher: {
        find: async () => {
          failures += 1;
          throw new Error('the stream is no stream');
        },
        publish: async ({ job }) => {
          ended.push(job.jobId);
          return { entryId: '1-0', isNew: true, event: null };
        },
        publishInvalid: async () => ({ entryId: '1-0', isNew: true, event: null }),
      },
    });
    await enqueue(1);
    const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
    await eventually(async () => (await queue.getDelayedCount()) === 1, { what: 'that it is parked' });
    expect(errors).toEqual(['the stream is no stream']);
    await eventually(() => ended.length === 1);
    expect(failures).toBe(1);
    await queue.close();
  });

  it('holds jobs while there is room, and parks the others', async () => {
    const { worker } = startWorker({
      concurrency: 20,
      schedule: () => 10_000,
      poll: async () => {
        await sleep(1_000);
        return RUNNING;
      },
    });
    await enqueue(30);
    const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
    await eventually(async () => (await queue.getDelayedCount()) + worker.load.held === 30, { what: '30 first polls' });
    expect(worker.load.held).toBeLessThanOrEqual(10);
    expect(worker.load.held).toBeGreaterThan(0);
    expect(await worker.stop()).toBe(true);
    expect(await queue.getJobCounts('active', 'delayed', 'wait')).toEqual({ active: 0, delayed: 30, wait: 0 });
    await queue.close();
  });

  it('leaves jobs that it cannot ask for yet to others', async () => {
    const slow = startWorker({ concurrency: 500, poll: () => new Promise(() => {}) });
    await enqueue(300);
    await eventually(() => slow.worker.load.running > 0);
    const { ended } = startWorker({ concurrency: 500, poll: async () => SUCCESS });
    try {
      const left = () => 300 - slow.worker.load.running;
      await eventually(() => ended.length === left(), {
        what: 'the end of the jobs that the first worker has not taken',
      });
      expect(left()).toBeGreaterThan(200);
    } finally {
      slow.worker.restart();
    }
  });

  it('takes new jobs no matter how many it holds', async () => {
    const { worker, ended } = startWorker({
      concurrency: 500,
      schedule: () => 14_000,
      poll: async ({ jobId }) => {
        // Until it has found that nobody else waits: else it holds none.
        await sleep(50);
        return jobId === 'last' ? SUCCESS : RUNNING;
      },
    });
    let jobs = 0;
    await eventually(async () => {
      if (worker.load.running === worker.load.held) await enqueue(10, jobs);
      jobs += 10;
      return worker.load.held >= 100;
    });
    const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
    await queue.add('x', { jobId: 'last' }, { jobId: 'p.last' });
    await eventually(() => ended.length === 1, { timeoutMs: 10_000, what: 'the end of the last job' });
    expect(worker.load.held).toBeGreaterThanOrEqual(100);
    await queue.close();
  });

  it('writes down at once what a poll of a held job found out, for who asks and for who takes it up after a crash', async () => {
    let polls = 0;
    const { worker } = startWorker({
      poll: async () => {
        polls += 1;
        return { kind: 'not-found', code: 'CFW.00200005', httpStatus: 404, message: 'no such job' };
      },
      // The first wait may be parked, as the worker has not yet found that nobody else waits.
      schedule: () => (polls < 3 ? 50 : 10_000),
    });
    await enqueue(1);
    await eventually(() => polls === 3 && worker.load.held === 1);
    const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
    expect((await queue.getJob('p.j0'))?.progress).toMatchObject({ polls: 3, notFoundSince: expect.any(Number) });
    expect(await queue.getActiveCount()).toBe(1);
    await queue.close();
  });

  it('does not touch the notes of whoever has the job by now', async () => {
    let polls = 0;
    const { worker } = startWorker({
      poll: async () => {
        polls += 1;
        if (polls < 3) return RUNNING;
        // Another worker took it, and knows more.
        await server.redis.client.set('{cfw}:cfw-jobs:p.j0:lock', 'another');
        await server.redis.client.hset('{cfw}:cfw-jobs:p.j0', 'progress', '{"polls":7}');
        return RUNNING;
      },
      schedule: () => (polls < 3 ? 50 : 10_000),
    });
    await enqueue(1);
    await eventually(() => polls === 3 && worker.load.held === 1);
    expect(await server.redis.client.hget('{cfw}:cfw-jobs:p.j0', 'progress')).toBe('{"polls":7}');
  });

  it('puts a job back that was removed while it was held', async () => {
    let polls = 0;
    const { worker } = startWorker({
      poll: async () => {
        polls += 1;
        if (polls === 3) await server.redis.client.del('{cfw}:cfw-jobs:p.j0');
        return RUNNING;
      },
      schedule: () => (polls < 3 ? 50 : 10_000),
    });
    await enqueue(1);
    await eventually(() => polls === 3 && worker.load.held === 1);
    expect(await worker.stop()).toBe(true);
    expect(JSON.parse((await server.redis.client.hget('{cfw}:cfw-jobs:p.j0', 'data')) ?? '')).toMatchObject({
      jobId: 'j0',
    });
  });

  it('puts a job back that was removed with its lock while it was held for long', async () => {
    let polls = 0;
    const { worker } = startWorker({
      poll: async () => {
        polls += 1;
        return RUNNING;
      },
      schedule: () => (polls < 3 ? 50 : 14_000),
    });
    await enqueue(1);
    await eventually(() => polls === 3 && worker.load.held === 1);
    const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: server.redis.client });
    await queue.obliterate({ force: true });
    await eventually(async () => (await queue.getJob('p.j0')) !== undefined, {
      timeoutMs: 30_000,
      what: 'that the job is back',
    });
    await queue.close();
  });
});

describe('an intake', () => {
  const steps: (() => unknown)[] = [];
  afterEach(async () => {
    for (const step of steps.splice(0)) await step();
  });

  function startIntake(maxAtHand: number, rate = Number.POSITIVE_INFINITY) {
    const clock = new RedisClock();
    const pacer = new Pacer();
    pacer.grant(rate, Number.POSITIVE_INFINITY);
    const store = new QueueStore({
      redis: server.redis.client,
      queueName: 'cfw-jobs',
      queuePrefix: '{cfw}',
      clock,
      lockMs: 10_000,
      stalledEveryMs: 5_000,
      keepEnded: { age: 60, count: 100 },
      onError: () => {},
    });
    const taken: Taken[] = [];
    const limited: number[] = [];
    const errorsAt: number[] = [];
    const slots: Slots = new Slots({ max: 100, maxAtHand }, () => intake.room());
    const intake: Intake = new Intake({
      ...{ store, slots, clock, pacer },
      newToken: () => `token-${taken.length}`,
      onTaken: (job) => {
        slots.take();
        taken.push(job);
      },
      onLimited: (coolDownMs) => limited.push(coolDownMs),
      onError: () => errorsAt.push(performance.now()),
    });
    intake.start();
    steps.push(
      () => intake.stop(),
      () => intake.ended,
      () => store.close(),
    );
    return { store, slots, intake, taken, limited, errorsAt };
  }

  it('fetches at once if it is allowed more jobs, though none of those that it has ends', async () => {
    const { slots, taken } = startIntake(2);
    await enqueue(4);
    await eventually(() => taken.length === 2);
    await sleep(100);
    expect(taken).toHaveLength(2);
    slots.hold();
    // It looks by itself after 10 s.
    await eventually(() => taken.length === 3, { timeoutMs: 6_000, what: 'the fetch of a third job' });
    slots.release();
    slots.leave();
    await sleep(100);
    expect(taken).toHaveLength(3);
    slots.leave();
    await eventually(() => taken.length === 4);
  });

  it('fetches no job during a cool-down, also if one ends or is parked', async () => {
    const { store, slots, intake, taken, limited } = startIntake(3);
    await enqueue(2);
    await eventually(() => taken.length === 2);
    await server.redis.client.set('{cfw}:cfw-jobs:limiter', 1e15, 'PX', 60_000);
    await enqueue(2, 2);
    await eventually(() => limited.some((ms) => ms > 0));
    expect(intake.refillTurn()).toBeUndefined();
    const [ends, isParked] = taken as [Taken, Taken];
    await store.complete(ends, 'done', false, false);
    await store.park(isParked, Date.now() + 60_000, false);
    slots.leave();
    slots.leave();
    await sleep(200);
    expect(taken).toHaveLength(2);
  });

  it('fetches as many jobs as it has turns for', async () => {
    const { taken } = startIntake(100, 20);
    await enqueue(100);
    await eventually(() => taken.length > 0);
    const [before, begunAt] = [taken.length, performance.now()];
    await sleep(1_000);
    const seconds = (performance.now() - begunAt) / 1_000;
    expect(taken.length - before).toBeLessThanOrEqual(20 * seconds + 1);
    await eventually(() => taken.length - before >= 20);
  });

  it('pauses for longer and longer while Redis refuses', async () => {
    const take = jest.spyOn(QueueStore.prototype, 'take').mockRejectedValue(new Error('OOM command not allowed'));
    const { errorsAt, taken } = startIntake(3);
    await eventually(() => errorsAt.length === 5);
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = errorsAt;
    expect([b - a, c - b, d - c, e - d].map((ms, n) => ms >= 49 * 2 ** n)).toEqual([true, true, true, true]);
    take.mockRestore();
    await enqueue(1);
    await eventually(() => taken.length === 1);
  });
});
