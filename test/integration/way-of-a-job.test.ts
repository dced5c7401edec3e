import { beforeEach, describe, expect, it } from '@jest/globals';
import { CfwJobProducer } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { STREAM, useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();

beforeEach(async () => {
  await server.redis.client.flushall();
});

describe('the whole way of a job', () => {
  it("takes the vendor's documented example from a raw BullMQ producer to XRANGE", async () => {
    const simulator = await start.simulator();
    simulator.addJob({
      projectId: PROJECT,
      jobId: 'f588ce71-e26c-400d-8981-f854355f6849',
      durationMs: 0,
      outcome: 'Success',
      timeFormat: 'epoch',
      beginTime: 1641370501000,
      endTime: 1641370515000,
    });
    await start.sidecar(environment(server.redis, simulator));
    const before = Date.now();
    await start.rawQueue(server.redis).add('x', {
      jobId: 'f588ce71-e26c-400d-8981-f854355f6849',
      projectId: PROJECT,
      metadata: { orderId: '42' },
      whatever: 'is ignored',
    });

    await server.redis.waitForEvents(1);
    const [[entryId, fields] = ['', []]] = await server.redis.client.xrange(STREAM, '-', '+');
    expect(entryId).toMatch(/^\d+-\d+$/);
    const names = fields.filter((_, index) => index % 2 === 0);
    expect(names).toEqual(['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'data']);
    const entry = Object.fromEntries(names.map((name, index) => [name, fields[index * 2 + 1] ?? '']));
    expect(entry).toMatchObject({
      specversion: '1.0',
      id: 'f588ce71-e26c-400d-8981-f854355f6849',
      source: `${simulator.url}/v3/${PROJECT}`,
      type: 'cfw.job.completed',
      subject: 'f588ce71-e26c-400d-8981-f854355f6849',
      datacontenttype: 'application/json',
    });
    expect(entry.time).toMatch(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/);
    const data = JSON.parse(entry.data ?? '');
    expect(data).toEqual({
      projectId: PROJECT,
      jobId: 'f588ce71-e26c-400d-8981-f854355f6849',
      status: 'completed',
      cfwStatus: 'Success',
      reason: null,
      message: null,
      beginTime: '2022-01-05T08:15:01.000Z',
      endTime: '2022-01-05T08:15:15.000Z',
      enqueuedAt: expect.any(String),
      polls: 1,
      watchId: null,
      errorCounts: {},
      lastError: null,
      metadata: { orderId: '42' },
    });
    expect(Date.parse(data.enqueuedAt)).toBeGreaterThanOrEqual(before);
  });

  it('polls until the end through every kind of trouble, and tells what it met', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({
      projectId: PROJECT,
      durationMs: 0,
      outcome: 'Failed',
      faults: [
        { fault: 'not-found', times: 2 },
        { fault: 'throttled', retryAfter: '0' },
        { fault: 'throttled' },
        { fault: 'unavailable' },
        { fault: 'busy' },
        { fault: 'html' },
        { fault: 'empty' },
        { fault: 'truncated' },
        { fault: 'garbage' },
        { fault: 'huge' },
        { fault: 'drop' },
        { fault: 'error', httpStatus: 504, code: 'APIGW.0201' },
        { fault: 'error', httpStatus: 500, code: 'APIG.0601' },
        { fault: 'slow', delayMs: 6_000 },
        { fault: 'status', status: 'Creating' },
      ],
    });
    await start.sidecar({ ...environment(server.redis, simulator), CFW_REQUEST_TIMEOUT: '3s' });
    await start.rawQueue(server.redis).add('x', { jobId });

    const [event] = await server.redis.waitForEvents(1);
    expect(event?.type).toBe('cfw.job.failed');
    expect(event?.data).toMatchObject({ cfwStatus: 'Failed', reason: 'JOB_FAILED', polls: 17 });
    const counts = event?.data.errorCounts ?? {};
    // Eleven codes came; the ten most frequent are told.
    expect(Object.keys(counts)).toHaveLength(10);
    expect(counts).toMatchObject({ 'CFW.00200005': 2, 'APIGW.0308': 2, HTTP_502: 2, MALFORMED_RESPONSE: 2 });
    expect(event?.data.lastError).toMatchObject({ code: 'ETIMEDOUT', httpStatus: null });
  });

  it('times a job out at its own deadline, with a last poll before', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 3_600_000 });
    // No poll but the first one is due before the last one, which comes a tenth of the time before the end.
    const env = { ...environment(server.redis, simulator), POLL_INITIAL_DELAY: '1m', POLL_MAX_DELAY: '1m' };
    await start.sidecar(env);
    await start.rawQueue(server.redis).add('x', { jobId, timeoutMs: 10_000 });

    const [event] = await server.redis.waitForEvents(1);
    expect(event?.data).toMatchObject({ status: 'failed', reason: 'TIMED_OUT', cfwStatus: 'Running' });
    const enqueuedAt = Date.parse(event?.data.enqueuedAt ?? '');
    const tookMs = Date.parse(event?.time ?? '') - enqueuedAt;
    // Redis's clock and this machine's may differ by a little.
    expect(tookMs).toBeGreaterThanOrEqual(9_990);
    // Due after 9 s; a machine that stalls while Redis answers knows Redis's time less exactly, and may make it twice by that.
    const lastCallAt = simulator.jobs()[0]?.callTimes.at(-1) ?? 0;
    expect(lastCallAt - enqueuedAt).toBeGreaterThanOrEqual(8_000);
    expect(lastCallAt - enqueuedAt).toBeLessThan(tookMs);
  });

  it('gives a job whose deadline passed while no worker ran one poll, and believes it', async () => {
    const simulator = await start.simulator();
    const done = simulator.addJob({ projectId: PROJECT, durationMs: 0, outcome: 'Success' });
    const running = simulator.addJob({ projectId: PROJECT, durationMs: 3_600_000 });
    const queue = start.rawQueue(server.redis);
    const timestamp = Date.now() - 7_200_000;
    await queue.add('x', { jobId: done.jobId }, { timestamp });
    await queue.add('x', { jobId: running.jobId }, { timestamp });
    await start.sidecar(environment(server.redis, simulator));

    const events = await server.redis.waitForEvents(2);
    const of = (id: string) => events.find(({ subject }) => subject === id)?.data;
    expect(of(done.jobId)).toMatchObject({ status: 'completed', polls: 1 });
    expect(of(running.jobId)).toMatchObject({ reason: 'TIMED_OUT', polls: 1 });
  });

  it('gives one event for a job that several producers enqueue a hundred times', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 500, outcome: 'Success' });
    await start.sidecar(environment(server.redis, simulator));
    const producers = Array.from({ length: 4 }, () => new CfwJobProducer({ redis: server.redis.client }));
    const enqueued = await Promise.all(
      Array.from({ length: 100 }, (_, n) => producers[n % 4]?.enqueue({ jobId, projectId: PROJECT })),
    );
    expect(new Set(enqueued.map((job) => job?.queueJobId))).toEqual(new Set([`${PROJECT}.${jobId}`]));

    await server.redis.waitForEvents(1);
    // After the end too: the job is remembered for longer than BullMQ keeps it.
    await server.redis.client.del(`{cfw}:cfw-jobs:${PROJECT}.${jobId}`);
    const again = await producers[0]?.enqueue({ jobId, projectId: PROJECT });
    expect(again?.state).toBe('completed');
    const raw = start.rawQueue(server.redis);
    const twin = await raw.add('twin', { jobId, projectId: PROJECT });
    await eventually(async () => (await twin.getState()) === 'completed', { what: 'the end of the twin' });
    expect(await server.redis.events()).toHaveLength(1);
    // The twin was not even polled for.
    expect(simulator.jobs()[0]?.callTimes).toHaveLength((await server.redis.events())[0]?.data.polls ?? 0);
    await Promise.all(producers.map((producer) => producer.close()));
  });

  it('gives a further watch of the same job an event of its own', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0, outcome: 'Success' });
    await start.sidecar(environment(server.redis, simulator));
    const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
    await producer.enqueue({ jobId });
    await server.redis.waitForEvents(1);
    await producer.enqueue({ jobId, watchId: 'once-more' });
    const events = await server.redis.waitForEvents(2);
    expect(events.map(({ id, subject }) => [id, subject])).toEqual([
      [jobId, jobId],
      [`${jobId}.once-more`, jobId],
    ]);
    expect(events[1]?.data.watchId).toBe('once-more');
    await producer.close();
  });
});
