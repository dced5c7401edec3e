import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { CfwJobProducer } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
const spans = new InMemorySpanExporter();
beforeEach(async () => {
  await server.redis.client.flushall();
  spans.reset();
});

const seen = async (count: number) =>
  await eventually(
    async () => {
      const events = await server.redis.events();
      return events.length >= count && events;
    },
    { what: `${count} events` },
  );

describe('a process in which OpenTelemetry is set up', () => {
  beforeAll(() => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }));
  });
  afterAll(() => {
    for (const api of [trace, propagation, context]) api.disable();
  });
  const named = (name: string) => spans.getFinishedSpans().filter((span) => span.name === name);
  const traceId = (traceparent: string) => traceparent.split('-')[1];
  const [OF_PRODUCER, OF_DATA] = ['a', 'b'].map((digit) => `00-${digit.repeat(32)}-${'1'.repeat(16)}-01`) as [
    string,
    string,
  ];

  it('has spans in the trace of whoever enqueued, by raw producers too; events keep the trace of their data', async () => {
    const simulator = await start.simulator();
    await start.sidecar(environment(server.redis, simulator));
    const [raw, ours] = [0, 0].map((durationMs) => simulator.addJob({ projectId: PROJECT, durationMs }).jobId);
    const telemetry = { metadata: JSON.stringify({ traceparent: OF_PRODUCER }) };
    await start.rawQueue(server.redis).add('x', { jobId: raw, traceparent: OF_DATA }, { telemetry });
    const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
    start.onEnd(() => producer.close());
    const ordering = trace.getTracer('test').startSpan('ordering');
    await context.with(trace.setSpan(context.active(), ordering), () => producer.enqueue({ jobId: ours ?? '' }));
    ordering.end();

    const events = await seen(2);
    expect(events.find(({ subject }) => subject === raw)?.traceparent).toBe(OF_DATA);
    expect(events.find(({ subject }) => subject === ours)?.traceparent).toBeUndefined();
    await eventually(() => named('process cfw-jobs').length >= 3, { what: 'a span for each time a job was taken up' });
    const traces = new Set(named('process cfw-jobs').map((span) => span.spanContext().traceId));
    expect([...traces].sort()).toEqual([traceId(OF_PRODUCER), ordering.spanContext().traceId].sort());
  });

  it('parks and publishes as any other, and no park looks like an error', async () => {
    const simulator = await start.simulator();
    // With one slot nothing is held.
    await start.sidecar({ ...environment(server.redis, simulator), WORKER_CONCURRENCY: '1' });
    const jobs = [0, 300, 600].map((durationMs) => simulator.addJob({ projectId: PROJECT, durationMs }));
    const queue = start.rawQueue(server.redis);
    for (const { jobId } of jobs) for (const _ of [1, 2]) await queue.add('twin', { jobId });
    await seen(3);
    await eventually(async () => (await queue.getJobCountByTypes('waiting', 'active', 'delayed')) === 0);
    const events = await seen(3);
    expect(events.map(({ subject }) => subject).sort()).toEqual(jobs.map(({ jobId }) => jobId).sort());
    expect(Math.max(...events.map(({ data }) => data.polls))).toBeGreaterThan(1);
    const marked = spans.getFinishedSpans().filter((span) => span.events.some(({ name }) => name === 'exception'));
    expect(marked).toEqual([]);
  });

  it('gets over traces that cannot be read', async () => {
    const simulator = await start.simulator();
    const log: string[] = [];
    await start.sidecar(environment(server.redis, simulator), log);
    const broken: unknown[] = ['no JSON', '"text"', 'null', { traceparent: OF_PRODUCER }, 7];
    for (const metadata of broken) {
      const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0 });
      // Named after the job, and not.
      for (const id of [{ jobId: `${PROJECT}.${jobId}` }, {}]) {
        await start.rawQueue(server.redis).add('x', { jobId }, { ...id, telemetry: { metadata: metadata as string } });
      }
    }
    expect(await seen(broken.length)).toHaveLength(broken.length);
    expect(log.filter((line) => line.includes('queue error'))).toEqual([]);
  });
});

describe('a process in which it is not', () => {
  it('keeps the trace that a raw producer has put its entry into', async () => {
    const simulator = await start.simulator();
    await start.sidecar(environment(server.redis, simulator));
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 600_000 });
    const telemetry = { metadata: '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}' };
    const queue = start.rawQueue(server.redis);
    await queue.add('x', { jobId }, { telemetry });
    const job = await eventually(() => queue.getJob(`${PROJECT}.${jobId}`), { what: 'the entry named after the job' });
    expect(job.opts.telemetry).toEqual(telemetry);
  });
});

describe('the command', () => {
  const HOST = fileURLToPath(new URL('../support/opentelemetry-host.mjs', import.meta.url));
  it.each([
    ['true', ['bullmq-otel is loaded', 'ioredis is loaded'], true],
    ['false', ['bullmq-otel is not loaded', 'ioredis is not loaded'], false],
  ])(
    'loads the hook, and what may be instrumented as packages, only where tracing is set up: %s',
    async (TRACE, told, hasSpans) => {
      const simulator = await start.simulator();
      const env = { ...environment(server.redis, simulator), NODE_OPTIONS: `--import ${HOST}`, TRACE };
      const sidecar = start.command(['start'], env);
      await sidecar.logged('redis connected');
      const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0 });
      await start.rawQueue(server.redis).add('x', { jobId });
      await seen(1);
      expect((await sidecar.kill('SIGTERM')).code).toBe(0);
      expect(sidecar.stderr.trim().split('\n')).toEqual(told);
      expect(sidecar.stdout.includes('process cfw-jobs')).toBe(hasSpans);
    },
  );
});
