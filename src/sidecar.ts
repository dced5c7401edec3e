import { createClient } from './client.js';
import type { Config } from './config/index.js';
import { EventPublisher } from './events/index.js';
import { logCredentials } from './ops/credential-log.js';
import { addGauges } from './ops/gauges.js';
import { cfwCheck, createReadiness, credentialsCheck, queueCheck, redisCheck, writesCheck } from './ops/health.js';
import type { PageSources } from './ops/http/page/sources.js';
import { createHttpServer } from './ops/http/server.js';
import { inTime } from './ops/in-time.js';
import { logJobs } from './ops/job-log.js';
import type { Logger } from './ops/logger.js';
import { createMetrics, type Metrics } from './ops/metrics.js';
import { RateMeter } from './ops/rate-meter.js';
import { logRedisState } from './ops/redis-log.js';
import { logSchedule } from './ops/schedule-log.js';
import { streamDuty, streamState } from './ops/stream-log.js';
import { announceEndpoint, CfwJobProducer, JobEvents, JobWorker, QueueInspector, queueLoad } from './queue/index.js';
import { inspectOnceThere, type RedisClient, serviceRedis, type UnfitRedisError } from './redis/index.js';
import { DurationStore, exponentialBackoff, ScheduleLearner, withJitter } from './schedule/index.js';

/** Closing what Redis may keep waiting takes this long at the most, in milliseconds. */
const CLOSE_LIMIT_MS = 1_000;

/** What a caller may choose beside the configuration. */
export interface SidecarOptions {
  /** Whether the page may enqueue and cancel jobs. @default false */
  readonly writable?: boolean;
  /** How often the learned schedule is computed, in milliseconds: for trials in which time runs faster. @default 10000 */
  readonly learnEveryMs?: number;
}

/** A running sidecar. */
export interface Sidecar {
  /** Where its HTTP listens, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Resolves if Redis turns out to be unfit, which may be after the start: it need not be there yet then. */
  readonly unfit: Promise<UnfitRedisError>;
  /**
   * Takes no more jobs, parks what is held, publishes what calls under way bring, closes all connections.
   *
   * @returns false if Redis was away, so that held jobs will come back by the check for stalled ones.
   */
  stop(): Promise<boolean>;
}

/**
 * Builds everything from the configuration and starts it. Redis need not be there yet.
 *
 * @throws if the HTTP port cannot be had.
 */
export async function startSidecar(config: Config, logger: Logger, options: SidecarOptions = {}): Promise<Sidecar> {
  const core = createCore(config, logger, options);
  const { redis, producer, inspector, worker } = core;
  const ops = createOps(config, logger, core, options);
  let url: string;
  try {
    // HTTP comes first: if its port is taken, no job may have been taken either.
    url = await ops.http.listen({ host: config.http.host, port: config.http.port });
  } catch (error) {
    await worker.stop();
    core.close();
    throw error;
  }
  const unfit = inspectOnceThere(redis, (message) => logger.warn(message));
  core.start();
  const { kind, variables } = config.credentials;
  logger.info({ kind, variables }, 'credentials found');
  const { endpoint } = config.cfw;
  logger.info({ url, endpoint, queue: config.queue.name, stream: config.events.stream }, 'sidecar started');
  return {
    url,
    unfit,
    async stop() {
      logger.info('sidecar stopping');
      ops.http.release();
      const stopped = await worker.stop();
      await ops.http.close();
      // While Redis is away, these would wait for it.
      await inTime(Promise.all([producer.close(), inspector.close()]), CLOSE_LIMIT_MS).catch(() => {});
      core.close();
      if (stopped) logger.info('sidecar stopped');
      else logger.error('sidecar stopped without Redis; held jobs follow');
      return stopped;
    },
  };
}

type Core = ReturnType<typeof createCore>;

/** What polls and publishes: none of it is started. */
function createCore(config: Config, logger: Logger, { learnEveryMs = 10_000 }: SidecarOptions) {
  const { cfw, events, polling, queue } = config;
  const redis = serviceRedis(config.redis);
  logRedisState(redis, logger);
  const metrics = createMetrics(config.metrics);
  const { client, close: closeClient } = createClient(config, {
    ...logCredentials(config.credentials, logger),
    onToken: metrics.tokenFetched,
  });
  // Exchanged by its file, as the credentials are.
  const stopWatchingToken = config.http.token?.watch(() => {});
  const onQueue = { redis, queueName: queue.name, queuePrefix: queue.prefix };
  const producer = new CfwJobProducer({
    ...onQueue,
    eventStream: events.stream,
    ...(config.projectId === undefined ? {} : { projectId: config.projectId }),
  });
  const publisher = new EventPublisher({
    redis,
    stream: events.stream,
    maxLength: events.maxLength,
    dedupTtlMs: events.dedupTtlMs,
    endpoint: cfw.endpoint,
  });
  const jobEvents = new JobEvents();
  logJobs(jobEvents, logger);
  metrics.count(jobEvents);
  const backoff = exponentialBackoff(polling);
  const learner = polling.schedule === 'learned' ? createLearner(config, redis, logger, learnEveryMs) : undefined;
  jobEvents.on('ended', ({ enqueuedAt, history }, { isNew }) => {
    if (isNew) void learner?.learn(enqueuedAt, history);
  });
  const worker = new JobWorker({
    ...onQueue,
    concurrency: config.worker.concurrency,
    projectId: config.projectId,
    timeoutMs: polling.timeoutMs,
    callTimeoutMs: cfw.requestTimeoutMs,
    dedupTtlMs: events.dedupTtlMs,
    schedule: withJitter(learner?.schedule ?? backoff, backoff),
    ratePerSecond: polling.ratePerSecond,
    poll: (job, signal, maxMs) => client.getJob(job, signal, maxMs),
    publisher,
    events: jobEvents,
    duties: [streamDuty({ redis, stream: events.stream, maxLength: events.maxLength }, logger)],
  });
  return {
    ...{ redis, client, metrics, producer, publisher, jobEvents, learner, worker },
    inspector: new QueueInspector(onQueue),
    start(): void {
      // For commands and producers that cancel without a sidecar. While Redis is away it waits.
      announceEndpoint(redis, events.stream, { ...events, endpoint: cfw.endpoint }).catch(() => {});
      void learner?.run();
      worker.start();
    },
    close(): void {
      learner?.stop();
      closeClient();
      stopWatchingToken?.();
      redis.disconnect();
    },
  };
}

function createLearner(config: Config, redis: RedisClient, logger: Logger, readEveryMs: number): ScheduleLearner {
  const { polling, queue } = config;
  return new ScheduleLearner({
    store: new DurationStore({ redis, queueName: queue.name, queuePrefix: queue.prefix }),
    backoff: exponentialBackoff(polling),
    minDelayMs: polling.initialDelayMs,
    maxDelayMs: polling.maxDelayMs,
    priceMs: polling.priceMs,
    load: async () => ({
      ...(await queueLoad(redis, queue.name, queue.prefix)),
      pollsPerSecond: polling.ratePerSecond,
    }),
    ...logSchedule(polling.priceMs, logger),
    readEveryMs,
  });
}

/** What an operator sees of the core: readiness, metrics and HTTP. */
function createOps(config: Config, logger: Logger, core: Core, { writable = false }: SidecarOptions) {
  const { events, polling } = config;
  const { redis, client, metrics, producer, inspector, jobEvents, learner, worker } = core;
  const cfw = cfwCheck();
  const jobs = queueCheck(() => ({
    overdueMs: worker.backlog.overdueMs,
    stuckMs: worker.stuckMs,
  }));
  jobEvents.on('polled', ({ answer }) => {
    cfw.answered(answer);
    jobs.moved();
  });
  const readiness = createReadiness({
    redis: redisCheck(redis),
    writes: writesCheck(() => worker.writeRefusal),
    credentials: credentialsCheck(() => client.credentialState),
    queue: jobs.check,
    cfw: cfw.check,
  });
  const readGauges = addGauges(metrics.registry, {
    redis,
    queue: inspector,
    stream: events.stream,
    streamMaxLength: events.maxLength,
    readiness,
    streamState: () => streamState((duty) => worker.found(duty)),
    worker: () => worker,
    learner,
    priceMs: polling.priceMs,
  });
  const http = createHttpServer({
    token: config.http.token,
    readiness,
    metrics: () => readMetrics(metrics, readGauges),
    eventStream: events.stream,
    writable,
    projectId: config.projectId,
    page: pageSources(config, core, readiness),
    ...{ producer, redis, logger },
  });
  return { readiness, http };
}

/** What the page shows beside jobs. */
function pageSources(
  { polling, queue }: Config,
  { redis, inspector, jobEvents, learner, worker }: Core,
  readiness: PageSources['readiness'],
): PageSources {
  const calls = new RateMeter();
  jobEvents.on('calling', () => calls.count());
  const durations = new DurationStore({ redis, queueName: queue.name, queuePrefix: queue.prefix });
  return {
    readiness,
    queue: inspector,
    backlog: () => worker.backlog,
    callsPerSecond: () => calls.perSecond,
    ratePerSecond: polling.ratePerSecond,
    share: () => (Number.isFinite(worker.fleet.share) ? worker.fleet.share : undefined),
    schedule: async () => ({
      durations: (await durations.read()).durations,
      schedule: learner?.schedule ?? exponentialBackoff(polling),
      learned: learner?.learned,
    }),
  };
}

async function readMetrics({ registry, collectProcess }: Metrics, readGauges: () => Promise<void>) {
  collectProcess();
  await readGauges();
  return { text: await registry.metrics(), contentType: registry.contentType };
}
