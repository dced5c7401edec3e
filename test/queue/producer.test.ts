import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CfwJobProducer } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
let producer: CfwJobProducer;
beforeEach(async () => {
  await server.redis.client.flushall();
  producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
});
afterEach(async () => {
  await producer.close();
});

describe('the producer', () => {
  it('writes jobs that any BullMQ worker can read, named after project and job', async () => {
    await producer.enqueue({ jobId: 'a', timeoutMs: 60_000, metadata: { n: 1 } });
    await producer.enqueue({ jobId: 'a', projectId: 'other', watchId: 'w' });
    const queue = start.rawQueue(server.redis);
    const jobs = await queue.getJobs(['waiting'], 0, -1, true);
    expect(jobs.map(({ id, name, data }) => ({ id, name, data }))).toEqual([
      {
        id: `${PROJECT}.a`,
        name: 'poll',
        data: { jobId: 'a', projectId: PROJECT, timeoutMs: 60_000, metadata: { n: 1 } },
      },
      { id: 'other.a.w', name: 'poll', data: { jobId: 'a', projectId: 'other', watchId: 'w' } },
    ]);
  });

  it('takes many at once, the same job twice as one', async () => {
    const jobs = Array.from({ length: 1_000 }, (_, n) => ({ jobId: `job-${n % 999}` }));
    const enqueued = await producer.enqueueMany(jobs);
    expect(enqueued).toHaveLength(1_000);
    expect(enqueued[999]).toEqual(enqueued[0]);
    expect(await start.rawQueue(server.redis).getWaitingCount()).toBe(999);
    expect(await producer.enqueueMany([])).toEqual([]);
  });

  it('tells where a job stands, from the queue to the event', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({
      projectId: PROJECT,
      durationMs: 1_500,
      outcome: 'Failed',
      faults: [{ fault: 'unavailable' }],
    });
    const job = { projectId: PROJECT, jobId };
    expect(await producer.status(job)).toBeUndefined();

    await producer.enqueue({ jobId });
    expect(await producer.status(job)).toMatchObject({ state: 'queued', polls: 0, event: null });

    // A slot for one job: it cannot be held, so that its progress is in Redis after each poll.
    await start.sidecar({ ...environment(server.redis, simulator), WORKER_CONCURRENCY: '1' });
    const polling = await eventually(async () => {
      const found = await producer.status(job);
      return found?.state === 'polling' && found.cfwStatus === 'Running' && found;
    });
    expect(polling).toMatchObject({ lastError: { code: 'APIGW.0605' }, event: null });

    const failed = await eventually(async () => {
      const found = await producer.status(job);
      return found?.state === 'failed' && found;
    });
    expect(failed.event?.data).toMatchObject({ reason: 'JOB_FAILED', errorCounts: { 'APIGW.0605': 1 } });
    expect(failed.polls).toBe(simulator.jobs()[0]?.callTimes.length);
  });

  it('tells that a job is polled also while it is held, and nothing of an entry whose data did not fit', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 3_600_000 });
    await start.sidecar(environment(server.redis, simulator));
    await producer.enqueue({ jobId });
    await eventually(async () => (await producer.status({ projectId: PROJECT, jobId }))?.state === 'polling');

    const unfit = { jobId: `${PROJECT}.unfit` };
    await start.rawQueue(server.redis).add('x', { projectId: PROJECT, jobId: 'unfit', timeoutMs: -1 }, unfit);
    await eventually(async () => (await server.redis.events()).length === 1);
    await eventually(async () => (await producer.status({ projectId: PROJECT, jobId: 'unfit' })) === undefined);
  });
});
