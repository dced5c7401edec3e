import { spawnSync } from 'node:child_process';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { addGauges } from '../../src/ops/gauges.js';
import { createReadiness, redisCheck } from '../../src/ops/health.js';
import { QueueInspector } from '../../src/queue/index.js';
import { binOf, DurationStore } from '../../src/schedule/index.js';
import { ask } from '../support/ask.js';
import { eventually } from '../support/eventually.js';
import { STREAM, useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
beforeEach(async () => {
  await server.redis.client.flushall();
});

const PROMTOOL = spawnSync('promtool', ['--version']).status === 0;
/** Debian's package `prometheus` brings promtool; CI has it. */
const withPromtool = PROMTOOL ? it : it.skip;

async function scrape(url: string): Promise<string> {
  const { status, headers, text } = await ask(url, '/metrics');
  expect([status, headers['content-type']]).toEqual([200, expect.stringMatching(/^text\/plain; version=0\.0\.4/)]);
  return text;
}

/** The value of one series, such as `cfw_job_poller_jobs{state="waiting"}`; undefined where there is none. */
const value = (text: string, series: string) => {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
};

/** A sidecar that has met each kind of end and trouble. */
async function busy() {
  const simulator = await start.simulator();
  const env = { ...environment(server.redis, simulator), CFW_AUTH_TOKEN: '' };
  const { iam, url: cfw } = simulator;
  const { url } = await start.sidecar({
    ...env,
    OS_AUTH_URL: `${cfw}/v3`,
    OS_USERNAME: iam.user,
    OS_PASSWORD: iam.password,
    OS_USER_DOMAIN_NAME: iam.domain,
  });
  await eventually(async () => (await ask(url, '/readyz')).status === 200);
  const jobs = [
    simulator.addJob({ projectId: PROJECT, durationMs: 300, outcome: 'Success', faults: [{ fault: 'throttled' }] }),
    simulator.addJob({ projectId: PROJECT, durationMs: 0, outcome: 'Failed', faults: [{ fault: 'unavailable' }] }),
    simulator.addJob({ projectId: PROJECT, durationMs: 0, faults: [{ fault: 'status', status: 'Nobody knows {}"' }] }),
    simulator.addJob({ projectId: PROJECT, durationMs: 0, faults: [{ fault: 'invalid' }] }),
  ];
  for (const { jobId } of jobs) await ask(url, '/v1/jobs', { method: 'POST', body: { jobId } });
  await start.rawQueue(server.redis).add('x', { jobId: '../x' });
  await eventually(async () => (await server.redis.events()).length === 5, { what: 'five events' });
  return { url, jobs };
}

describe('GET /metrics', () => {
  withPromtool('has names and units as Prometheus wants them', async () => {
    const { url } = await busy();
    await server.redis.client.xgroup('CREATE', STREAM, 'billing', '0');
    const text = await scrape(url);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect([status, stdout + stderr]).toEqual([0, '']);
  });

  it('counts what happened to jobs, and names none of them', async () => {
    const { url, jobs } = await busy();
    // The fifth entry had an id of its producer's own and does not stay.
    const text = await eventually(async () => {
      const scraped = await scrape(url);
      return value(scraped, 'cfw_job_poller_jobs{state="completed"}') === 4 && scraped;
    });
    const of = (series: string) => value(text, `cfw_job_poller_${series}`);
    expect(of('events_total{status="completed",reason="",published="new"}')).toBeGreaterThanOrEqual(1);
    expect(of('events_total{status="failed",reason="JOB_FAILED",published="new"}')).toBeGreaterThanOrEqual(1);
    expect(of('events_total{status="failed",reason="INVALID_REQUEST",published="new"}')).toBe(2);
    expect(of('events_total{status="failed",reason="TIMED_OUT",published="new"}')).toBe(0);
    for (const outcome of ['throttled', 'transient', 'unknown_status', 'invalid']) {
      expect([outcome, of(`polls_total{outcome="${outcome}"}`)]).toEqual([outcome, 1]);
    }
    // Each of the four once with its fault, and three of them once more.
    expect(of('call_duration_seconds_count')).toBe(7);
    expect(of('calls_under_way')).toBe(0);
    expect(of('token_fetches_total{outcome="issued"}')).toBe(1);
    // Three ended at CFW; its times have no milliseconds, so the delay can be any up to a second or so.
    expect(of('event_delay_seconds_count')).toBe(3);
    expect(of('job_duration_seconds_count')).toBe(4);
    expect(of('stream_entries')).toBe(5);
    expect(of('stream_max_entries')).toBe(100_000);
    for (const check of ['redis', 'credentials', 'queue', 'cfw']) expect(of(`check_ok{check="${check}"}`)).toBe(1);
    for (const name of [PROJECT, 'Nobody', ...jobs.map(({ jobId }) => jobId)]) expect(text).not.toContain(name);
  });

  withPromtool('tells projects apart where METRICS_PROJECT_LABEL asks for that, 100 at the most', async () => {
    const simulator = await start.simulator();
    const { url } = await start.sidecar({ ...environment(server.redis, simulator), METRICS_PROJECT_LABEL: 'true' });
    await eventually(async () => (await ask(url, '/readyz')).status === 200);
    for (let n = 0; n < 103; n += 1) {
      const { jobId } = simulator.addJob({ projectId: `p${n}`, durationMs: 0, outcome: 'Success' });
      await ask(url, '/v1/jobs', { method: 'POST', body: { projectId: `p${n}`, jobId } });
    }
    let text = '';
    const counted = (series: string) => [...text.matchAll(new RegExp(`${series},project="(\\w+)"\\} (\\d+)$`, 'gm'))];
    await eventually(
      async () => {
        text = await scrape(url);
        const counts = counted('events_total{status="completed",reason="",published="new"');
        return counts.reduce((sum, [, , count]) => sum + Number(count), 0) === 103;
      },
      { what: 'that all events are counted' },
    );
    for (const series of [
      'events_total{status="completed",reason="",published="new"',
      'polls_total{outcome="success"',
    ]) {
      const projects = counted(series);
      expect(projects).toHaveLength(101);
      expect(projects.map(([, name, count]) => [name === 'other', count])).toEqual(
        projects.map(([, name]) => (name === 'other' ? [true, '3'] : [false, '1'])),
      );
    }
    expect(counted('events_total{status="failed",reason="TIMED_OUT",published="new"')).toHaveLength(101);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect([status, stdout + stderr]).toEqual([0, '']);
  });

  it('tells who does not read, and what is parked', async () => {
    const { url } = await busy();
    const { client } = server.redis;
    await client.xgroup('CREATE', STREAM, 'billing', '0');
    await client.xreadgroup('GROUP', 'billing', 'b1', 'COUNT', 2, 'STREAMS', STREAM, '>');
    await start.rawQueue(server.redis).add('x', { jobId: 'later' }, { delay: 60_000 });
    const text = await scrape(url);
    expect(value(text, 'cfw_job_poller_stream_group_lag_entries{group="billing"}')).toBe(3);
    expect(value(text, 'cfw_job_poller_stream_group_pending_entries{group="billing"}')).toBe(2);
    expect(value(text, 'cfw_job_poller_jobs{state="delayed"}')).toBe(1);
    // As of the last look, at which a job may just have been due.
    expect(value(text, 'cfw_job_poller_overdue_seconds')).toBeLessThan(30);
  });

  it('costs Redis a handful of commands, and none that looks through keys, however much there is', async () => {
    // Without a worker, so that the commands that Redis counts are those of the scrape.
    const { client } = server.redis;
    const pipeline = client.pipeline();
    for (let n = 0; n < 200; n += 1) pipeline.xgroup('CREATE', STREAM, `group-${n}`, '0', 'MKSTREAM');
    await pipeline.exec();
    await start
      .rawQueue(server.redis)
      .addBulk(
        Array.from({ length: 2_000 }, (_, n) => ({ name: 'x', data: { jobId: `j${n}` }, opts: { delay: n * 3_600 } })),
      );
    const registry = new Registry();
    const queue = new QueueInspector({ redis: client, queueName: 'cfw-jobs', queuePrefix: '{cfw}' });
    start.onEnd(() => queue.close());
    const readGauges = addGauges(registry, {
      redis: client,
      queue,
      stream: STREAM,
      streamMaxLength: 0,
      streamState: () => ({
        length: 5,
        groups: [{ group: 'billing', lag: 0, pending: 0, room: 1, endangered: true, lost: 7 }],
        dangers: 1,
      }),
      readiness: createReadiness({ redis: redisCheck(client) }),
      worker: () => undefined,
      learner: undefined,
      priceMs: 500,
    });
    await readGauges();
    await client.config('RESETSTAT');
    await readGauges();
    const stats = await client.info('commandstats');
    const calls = [...stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name, n]) => [name, Number(n)]);
    // What scripts call is counted, too.
    const cheap = [
      'ping',
      'evalsha',
      'xlen',
      'xinfo|groups',
      'llen',
      'zcard',
      'hget',
      'pttl',
      'config|resetstat',
      'lindex',
    ];
    for (const [name] of calls) expect(cheap).toContain(name);
    expect(calls.reduce((sum, [, n]) => sum + Number(n), 0)).toBeLessThan(20);

    const text = await registry.metrics();
    expect(value(text, 'cfw_job_poller_jobs{state="delayed"}')).toBe(1_999);
    expect(value(text, 'cfw_job_poller_stream_group_lost_entries{group="billing"}')).toBe(7);
    // Groups are the operator's own, but a label must not grow without end.
    expect(text.match(/^cfw_job_poller_stream_group_lag_entries\{/gm)).toHaveLength(50);
  });

  it('tells what the learned schedule has learned, and nothing that it does not know', async () => {
    const simulator = await start.simulator();
    const env = { ...environment(server.redis, simulator), POLL_PRICE: '250ms' };
    const { url } = await start.sidecar(env);
    const one = (text: string) => (name: string) => value(text, `cfw_job_poller_schedule_${name}`);
    const early = one(await scrape(url));
    expect(early('learned')).toBe(0);
    expect(early('known_jobs')).toBe(0);
    expect(early('configured_price_seconds')).toBe(0.25);
    for (const name of ['price_seconds', 'expected_polls', 'expected_delay_seconds'])
      expect(early(name)).toBeUndefined();

    // As other processes have learned it; the next one reads it when it starts.
    const memory = new DurationStore({ redis: server.redis.client, queueName: 'cfw-jobs', queuePrefix: '{cfw}' });
    for (let n = 0; n < 60; n += 1) {
      const bin = binOf(60_000 + n * 1_000) as number;
      await memory.learn({ kind: 'ended', bin }, 86_400_000, Date.now() - 3_600_000);
    }
    const { url: later } = await start.sidecar(env);
    const late = await eventually(async () => {
      const found = one(await scrape(later));
      return found('learned') === 1 && found;
    });
    expect(late('known_jobs')).toBe(60);
    expect(late('price_seconds')).toBe(0.25);
    expect(late('expected_polls')).toBeGreaterThan(1);
    expect(late('expected_delay_seconds')).toBeGreaterThan(0);
  });

  it('tells what this process is on, and that somebody has paused the queue', async () => {
    const simulator = await start.simulator();
    const { url } = await start.sidecar({ ...environment(server.redis, simulator), POLL_MAX_DELAY: '10s' });
    await eventually(async () => (await ask(url, '/readyz')).status === 200);
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 600_000 });
    await ask(url, '/v1/jobs', { method: 'POST', body: { jobId } });
    // At the same moment: later it may be parked.
    const bothNow = async () => {
      const text = await scrape(url);
      return ['held_jobs', 'running_jobs'].every((name) => value(text, `cfw_job_poller_${name}`) === 1);
    };
    await eventually(bothNow, { what: 'a held job among those that run' });
    const queue = start.rawQueue(server.redis);
    await queue.pause();
    await eventually(async () => value(await scrape(url), 'cfw_job_poller_queue_paused') === 1, { what: 'the pause' });
    expect((await ask(url, '/readyz')).status).toBe(200);
  });
});
