import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Simulator } from '../../src/simulator/index.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';
import { type Project, useProjects } from './support/project.js';

const server = useRedis();
const start = useCleanUp();
const newProject = useProjects();

const VERSIONS = { 3: '3.16.2', 4: '4.18.3', 5: '5.81.5', 6: '6.7.0' } as const;
type Major = keyof typeof VERSIONS;
const ALL = [3, 4, 5, 6] as const satisfies Major[];

/**
 * Runs the steps that are given as its last argument with one version of BullMQ, and prints what they return. A client that does
 * not know the recommended id writes as the documentation has it.
 */
const CLIENT = `
const [alias, steps, args] = process.argv.slice(2);
const { FlowProducer, Queue, QueueEvents, Worker } = require(alias);
const { hostname: host, port, password } = new URL(process.env.REDIS_URL);
const options = { prefix: '{cfw}', connection: { host, port: Number(port), password } };
const queue = new Queue('cfw-jobs', options);
const other = new Queue('other', options);
// By default it reads what comes after its first read, which may be later than the end of a job that has just been added.
const events = new QueueEvents('cfw-jobs', { ...options, lastEventId: '0-0' });
const flows = new FlowProducer(options);
const ended = (job) => job.waitUntilFinished(events, 30_000);
const AsyncFunction = (async () => {}).constructor;
events.waitUntilReady()
  .then(() => new AsyncFunction('Worker', 'options', 'queue', 'other', 'flows', 'ended', 'args', steps)(
    Worker, options, queue, other, flows, ended, JSON.parse(args)))
  .then((value) => console.log(JSON.stringify(value ?? null)))
  .then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
  });
`;

let project: Project;
beforeAll(async () => {
  const aliases = Object.entries(VERSIONS).map(([major, version]) => [`bullmq${major}`, `npm:bullmq@${version}`]);
  // BullMQ 6 has its client of Redis from whoever uses it.
  project = newProject({ ...Object.fromEntries(aliases), ioredis: '6.0.0' });
  project.write('client.cjs', CLIENT);
  await project.install();
});

let simulator: Simulator;
/** An empty queue and a sidecar. */
async function running(log: string[] = []): Promise<void> {
  await server.redis.client.flushall();
  simulator = await start.simulator();
  await start.sidecar(environment(server.redis, simulator), log);
}

// biome-ignore lint/suspicious/noExplicitAny: each test knows what its steps return.
async function by(major: Major, steps: string, args: Record<string, unknown>): Promise<any> {
  const command = ['node', 'client.cjs', `bullmq${major}`, steps, JSON.stringify({ projectId: PROJECT, ...args })];
  const { stdout } = await project.succeed(command, { REDIS_URL: server.redis.url });
  return JSON.parse(stdout);
}

/** A CFW job that ends after a while. */
const cfwJob = (durationMs = 300, outcome: 'Success' | 'Failed' = 'Success') =>
  simulator.addJob({ projectId: PROJECT, durationMs, outcome }).jobId;

/** The events, as `<id> <type>`. */
const published = async () => (await server.redis.events()).map(({ id, type }) => `${id} ${type}`);

const ADD = `
  const job = await queue.add('poll', { projectId: args.projectId, jobId: args.jobId, metadata: { n: 1 } }, args.options ?? {});
  return await ended(job);`;
const recommended = (jobId: string) => ({ jobId, options: { jobId: `${PROJECT}.${jobId}` } });

// BullMQ's own worker, which takes jobs where this file is missing, enters the next one of a series by itself, without data.
/** Long enough for three more jobs of a series that has one each second. */
const SERIES_MS = 3_500;

describe.each(ALL)('a raw client of BullMQ %d', (major) => {
  it('hands in jobs; BullMQ calls each one completed, with the data of its event and where that is', async () => {
    await running();
    const [success, failure] = [cfwJob(), cfwJob(0, 'Failed')];
    const results = [await by(major, ADD, recommended(success)), await by(major, ADD, recommended(failure))];
    const entries = await server.redis.client.xrange('{cfw}:events', '-', '+');
    const events = await server.redis.events();
    expect(results).toEqual(events.map(({ data }, n) => ({ ...data, entryId: entries[n]?.[0] })));
    expect(results).toMatchObject([
      { jobId: success, status: 'completed', reason: null, metadata: { n: 1 } },
      { jobId: failure, status: 'failed', reason: 'JOB_FAILED' },
    ]);
    expect(await start.rawQueue(server.redis).getJobCountByTypes('failed')).toBe(0);
  });

  it('without the recommended id sees its queue job completed at once; the job still has its one event', async () => {
    await running();
    const long = cfwJob(600_000);
    expect(await by(major, ADD, { jobId: long })).toEqual({ forwardedTo: `${PROJECT}.${long}` });
    expect(await published()).toEqual([]);

    const jobId = cfwJob();
    const twice = `await queue.addBulk([1, 2].map((n) => ({ name: 'poll', data: { projectId: args.projectId, jobId: args.jobId },
      opts: { jobId: 'own-' + n, attempts: 3 } })));`;
    await by(major, twice, { jobId });
    await server.redis.waitForEvents(1);
    const { client } = server.redis;
    await eventually(async () => (await client.zcard('{cfw}:cfw-jobs:completed')) === 4, {
      what: 'all but the long job',
    });
    expect(await published()).toEqual([`${jobId} cfw.job.completed`]);
  });

  it('may delay and prioritize its queue jobs', async () => {
    await running();
    const jobs = [cfwJob(), cfwJob()];
    const [delayed, first] = jobs.map((jobId) => recommended(jobId ?? ''));
    await by(major, ADD, { ...delayed, options: { ...delayed?.options, delay: 1_000 } });
    await by(major, ADD, { ...first, options: { ...first?.options, priority: 3, lifo: true } });
    expect(await published()).toEqual(jobs.map((jobId) => `${jobId} cfw.job.completed`));
  });

  it('with a flow in the queue has the parent polled after its children', async () => {
    await running();
    const [parent, child] = [cfwJob(), cfwJob()];
    const steps = `
      const entry = (jobId, children) => ({ name: 'poll', queueName: 'cfw-jobs', prefix: '{cfw}', children,
        data: { projectId: args.projectId, jobId }, opts: { jobId: args.projectId + '.' + jobId } });
      const { job } = await flows.add(entry(args.parent, [entry(args.child)]));
      return await ended(job);`;
    expect(await by(major, steps, { parent, child })).toMatchObject({ status: 'completed' });
    expect(await published()).toEqual([`${child} cfw.job.completed`, `${parent} cfw.job.completed`]);
  });

  it('with children of another queue lets the parent go on when their jobs have ended, however they have', async () => {
    await running();
    const child = cfwJob(300, 'Failed');
    const steps = `
      const child = { name: 'poll', queueName: 'cfw-jobs', prefix: '{cfw}', data: { projectId: args.projectId, jobId: args.child },
        opts: { jobId: args.projectId + '.' + args.child, failParentOnFailure: true } };
      const { job, children } = await flows.add({ name: 'after', queueName: 'other', prefix: '{cfw}', data: {}, children: [child] });
      await ended(children[0].job);
      return [await job.getState(), Object.values(await job.getChildrenValues())];`;
    expect(await by(major, steps, { child })).toEqual(['waiting', [expect.objectContaining({ status: 'failed' })]]);
  });

  it('with children of another queue that do not end has the parent timed out; if one has failed it, it is polled', async () => {
    await running();
    const [withheld, failed] = [cfwJob(0), cfwJob(0)];
    const steps = `
      new Worker('failing', async () => { throw new Error('no'); }, options);
      const flow = (jobId, more, child) => flows.add({ name: 'poll', queueName: 'cfw-jobs', prefix: '{cfw}',
        data: { projectId: args.projectId, jobId, ...more }, opts: { jobId: args.projectId + '.' + jobId }, children: [child] });
      await flow(args.withheld, { timeoutMs: 3_000 }, { name: 'child', queueName: 'other', prefix: '{cfw}', data: {} });
      const { job } = await flow(args.failed, {}, { name: 'child', queueName: 'failing', prefix: '{cfw}', data: {},
        opts: { failParentOnFailure: true } });
      while (await job.getState() === 'waiting-children') await new Promise((resolve) => setTimeout(resolve, 50));`;
    await by(major, steps, { withheld, failed });
    const events = await server.redis.waitForEvents(2);
    const ends = Object.fromEntries(events.map(({ id, data }) => [id, [data.reason, data.polls]]));
    expect(ends).toEqual({ [withheld]: ['TIMED_OUT', 0], [failed]: [null, 1] });
  });

  it('with a repeated queue job has its CFW job watched once, and no other event comes of it', async () => {
    await running();
    const jobId = cfwJob(0);
    const steps = `
      const data = { projectId: args.projectId, jobId: args.jobId };
      await queue.add('poll', data, { repeat: { every: 1_000 } });
      await queue.add('poll', data, { jobId: args.projectId + '.' + args.jobId, repeat: { every: 1_000, limit: 3 } });`;
    await by(major, steps, { jobId });
    await server.redis.waitForEvents(1);
    await sleep(SERIES_MS);
    expect(await published()).toEqual([`${jobId} cfw.job.completed`]);
    // A series that goes on has its next job there at every moment.
    const queue = start.rawQueue(server.redis);
    await eventually(async () => (await queue.getJobCountByTypes('waiting', 'delayed', 'active', 'failed')) === 0);
  });
});

describe.each([5, 6] as const)('a job scheduler of BullMQ %d', (major) => {
  it('has its job watched once; one without a job has one INVALID_REQUEST', async () => {
    await running();
    const jobId = cfwJob(0);
    const steps = `
      const data = { projectId: args.projectId, jobId: args.jobId };
      await queue.upsertJobScheduler('sound', { every: 1_000 }, { name: 'poll', data });
      await queue.upsertJobScheduler('empty', { every: 1_000 });`;
    await by(major, steps, { jobId });
    await server.redis.waitForEvents(2);
    await sleep(SERIES_MS);
    const events = await server.redis.events();
    expect(events.map(({ id, data }) => [id.replace(/:\d+$/, ''), data.reason]).sort()).toEqual(
      [
        [jobId, null],
        ['bullmq:cfw-jobs:repeat:empty', 'INVALID_REQUEST'],
      ].sort(),
    );
  });
});
