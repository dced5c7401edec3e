import { beforeEach, describe, expect, it } from '@jest/globals';
import { CfwJobProducer, InvalidJobError } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();

beforeEach(async () => {
  await server.redis.client.flushall();
});

describe('invalid data', () => {
  it('ends in INVALID_REQUEST events named after the entries of the queue, and the worker lives on', async () => {
    const simulator = await start.simulator();
    const sound = simulator.addJob({ projectId: PROJECT, jobId: 'sound', durationMs: 0, outcome: 'Success' });
    const queue = start.rawQueue(server.redis);
    const bad: [name: string, data: unknown, subject: string | null, message: RegExp][] = [
      ['missing', { projectId: PROJECT }, null, /jobId must be a string/],
      ['illegal', { projectId: PROJECT, jobId: '../../v2/other' }, null, /jobId must be 1 to 64 characters/],
      ['project', { projectId: 'a/b', jobId: 'sound' }, 'sound', /projectId must be 1 to 64 characters/],
      ['timeout', { jobId: 'sound', timeoutMs: '30' }, 'sound', /timeoutMs must be a whole number/],
      ['metadata', { jobId: 'sound', metadata: { text: 'ü'.repeat(2_100) } }, 'sound', /metadata .* 4096 bytes/],
      ['array', ['sound'], null, /data must be a JSON object/],
      ['null', null, null, /data must be a JSON object/],
      ['text', 'sound', null, /data must be a JSON object/],
    ];
    for (const [name, data] of bad) await queue.add('x', data as object, { jobId: name });
    // Python's json writes NaN, which is no JSON; BullMQ itself cannot read it.
    await queue.add('x', {}, { jobId: 'nan' });
    await server.redis.client.hset('{cfw}:cfw-jobs:nan', 'data', '{"jobId": NaN}');
    bad.push(['nan', undefined, null, /data is not JSON/]);
    await start.sidecar(environment(server.redis, simulator));

    const events = await server.redis.waitForEvents(bad.length);
    expect(events).toHaveLength(bad.length);
    for (const [name, , jobId, message] of bad) {
      const id = `bullmq:cfw-jobs:${name}`;
      const event = events.find((candidate) => candidate.id === id);
      expect(event).toMatchObject({
        type: 'cfw.job.failed',
        subject: jobId ?? id,
        data: { reason: 'INVALID_REQUEST', jobId, polls: 0, cfwStatus: null },
      });
      expect(event?.data.message).toMatch(message);
    }
    const project = events.find(({ id }) => id === 'bullmq:cfw-jobs:project');
    expect(project?.source).toBe(`${simulator.url}/v3/-`);
    expect(project?.data.projectId).toBeNull();

    // They stand in nobody's way: the sound job that some of them meant has its own event.
    await queue.add('x', { jobId: sound.jobId });
    const event = await eventually(async () => (await server.redis.events()).find(({ id }) => id === 'sound'));
    expect(event.type).toBe('cfw.job.completed');
  });

  it('does not stand in the way of a sound entry with the same BullMQ id', async () => {
    const simulator = await start.simulator();
    simulator.addJob({ projectId: PROJECT, jobId: 'sound', durationMs: 0, outcome: 'Success' });
    const queue = start.rawQueue(server.redis);
    await start.sidecar(environment(server.redis, simulator));
    const opts = { jobId: `${PROJECT}.sound` };
    await queue.add('x', { jobId: 'sound', projectId: PROJECT, timeoutMs: 'soon' }, opts);
    await eventually(async () => (await server.redis.events()).length === 1);
    await eventually(async () => (await queue.getJob(opts.jobId)) === undefined);
    await queue.add('x', { jobId: 'sound', projectId: PROJECT }, opts);
    const event = await eventually(async () => (await server.redis.events()).find(({ id }) => id === 'sound'));
    expect(event.type).toBe('cfw.job.completed');
  });

  it('is refused by the producer as a whole, with every problem named, before anything is enqueued', async () => {
    const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
    const jobs = [
      { jobId: 'fine' },
      { jobId: 'no good' },
      { jobId: 'fine-too', timeoutMs: 0, metadata: [] as unknown as Record<string, unknown> },
    ];
    const refusal = await producer.enqueueMany(jobs).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(InvalidJobError);
    expect((refusal as InvalidJobError).problems).toEqual([
      'jobs[1].jobId must be 1 to 64 characters of A-Z a-z 0-9 _ -',
      'jobs[2].timeoutMs must be at least 1',
      'jobs[2].metadata must be a JSON object',
    ]);
    expect(await server.redis.client.keys('*fine*')).toEqual([]);
    await producer.close();
  });
});
