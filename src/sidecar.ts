import type { CredentialState } from './cfw/index.js';
import { createClient } from './client.js';
import type { Config } from './config/index.js';
import { EventPublisher, findPublished } from './events/index.js';
import { addGauges } from './ops/gauges.js';
import { cfwCheck, createReadiness, credentialsCheck, queueCheck, redisCheck } from './ops/health.js';
import type { PageSources } from './ops/http/page/sources.js';
import { createHttpServer } from './ops/http/server.js';
import { inTime } from './ops/in-time.js';
import { jobLog } from './ops/job-log.js';
import type { Logger } from './ops/logger.js';
import { createMetrics } from './ops/metrics.js';
import { observers } from './ops/observers.js';
import { RateMeter } from './ops/rate-meter.js';
import { logRedisState } from './ops/redis-log.js';
import { watchStream } from './ops/stream-log.js';
import {
  announceEndpoint,
  CfwJobProducer,
  type EndedJob,
  type JobObserver,
  JobWorker,
  QueueInspector,
  queueLoad,
} from './queue/index.js';
import { inspectOnceThere, serviceRedis, type UnfitRedisError } from './redis/index.js';
import { DurationMemory, exponentialBackoff, ScheduleLearner, withJitter } from './schedule/index.js';

/** Closing what Redis may keep waiting takes this long at the most. */
const CLOSE_LIMIT_MS = 1_000;

/** What whoever starts a sidecar may choose beside the configuration. */
export interface SidecarOptions {
  /** Whether the page may enqueue and cancel jobs. @default false */
  readonly writable?: boolean;
  /** How often the learned schedule is made anew, in milliseconds: for trials in which time runs faster. @default 10000 */
  readonly learnEveryMs?: number;
}

/** A running sidecar. */
export interface Sidecar {
  /** Where its HTTP listens, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Resolves where Redis turns out to be unfit, which may be after the start: it need not be there yet then. */
  readonly unfit: Promise<UnfitRedisError>;
  /**
   * Takes no more jobs, parks what is held, publishes what calls under way bring, closes all connections.
   *
   * @returns false where Redis was away, so that held jobs will come back by the check for stalled ones.
   */
  stop(): Promise<boolean>;
}

/**
 * Builds everything from the configuration and starts it. Redis need not be there yet.
 *
 * @throws where the HTTP port cannot be had.
 */
export async function startSidecar(
  config: Config,
  logger: Logger,
  { writable = false, learnEveryMs = 10_000 }: SidecarOptions = {},
): Promise<Sidecar> {
  const { cfw, events, polling, queue, worker } = config;
  const redis = serviceRedis(config.redis);
  logRedisState(redis, logger);
  const unfit = inspectOnceThere(redis, (message) => logger.warn(message));
  const metrics = createMetrics(config.metrics);
  const { client, close: closeClient } = createClient(config, {
    onCredentialState: (state) => logCredentialState(state, config.credentials.kind, logger),
    onToken: metrics.tokenFetched,
  });
  // Exchanged by its file, as the credentials are.
  const stopWatchingToken = config.http.token?.watch(() => {});
  const onQueue = { redis, queueName: queue.name, queuePrefix: queue.prefix };
  const producer = new CfwJobProducer({
    ...onQueue,
    eventStream: events.stream,
    endpoint: cfw.endpoint,
    ...(config.projectId === undefined ? {} : { projectId: config.projectId }),
  });
  const inspector = new QueueInspector(onQueue);
  const cfwHealth = cfwCheck();
  // HTTP comes first: where its port is taken, no job must have been taken either.
  let jobs: JobWorker | undefined;
  let stream: ReturnType<typeof watchStream> | undefined;
  const queueHealth = queueCheck(() => ({ overdueMs: jobs?.line.overdueMs ?? 0, stuckMs: jobs?.stuckMs ?? 0 }));
  const readiness = createReadiness({
    redis: redisCheck(redis),
    credentials: credentialsCheck(() => client.credentialState),
    queue: queueHealth.check,
    cfw: cfwHealth.check,
  });
  const backoff = exponentialBackoff(polling);
  const learner = new ScheduleLearner({
    memory: new DurationMemory({ redis, queueName: queue.name, queuePrefix: queue.prefix }),
    backoff,
    minDelayMs: polling.initialDelayMs,
    maxDelayMs: polling.maxDelayMs,
    priceMs: polling.priceMs,
    load: async () => ({
      ...(await queueLoad(redis, queue.name, queue.prefix)),
      pollsPerSecond: polling.ratePerSecond,
    }),
    onSchedule: (learned, before) => {
      const { priceMs = 0, polls, delayMs } = learned ?? {};
      const isDearer = priceMs > polling.priceMs;
      const wasDearer = (before?.priceMs ?? 0) > polling.priceMs;
      const fields = { priceMs, expectedPolls: polls, expectedDelayMs: delayMs };
      if (learned === undefined && before !== undefined) logger.info('polls follow the exponential backoff again');
      if (learned !== undefined && before === undefined) logger.info(fields, 'polls follow the learned schedule');
      if (isDearer && !wasDearer) logger.info(fields, 'the quota is short; polls cost more');
      if (!isDearer && wasDearer) logger.info(fields, 'the quota is enough again; polls cost what POLL_PRICE says');
    },
    onTrouble: (err) => logger.warn({ err }, 'the learned schedule could not be brought up to date'),
    readEveryMs: learnEveryMs,
  });
  const isLearned = polling.schedule === 'learned';
  const readGauges = addGauges(metrics.registry, {
    redis,
    queue: inspector,
    stream: events.stream,
    streamMaxLength: events.maxLength,
    readiness,
    streamState: () => stream?.watch.state,
    worker: () => jobs,
    learner: isLearned ? learner : undefined,
    priceMs: polling.priceMs,
  });
  const callMeter = new RateMeter();
  const durations = new DurationMemory({ redis, queueName: queue.name, queuePrefix: queue.prefix });
  const page: PageSources = {
    readiness,
    queue: inspector,
    backlog: () => jobs?.line,
    callsPerSecond: () => callMeter.perSecond,
    ratePerSecond: polling.ratePerSecond,
    schedule: async () => ({
      durations: (await durations.read()).durations,
      schedule: isLearned ? learner.schedule : backoff,
      learned: isLearned ? learner.learned : undefined,
    }),
  };
  const http = createHttpServer({
    token: config.http.token,
    readiness,
    metrics: async () => {
      await readGauges();
      return { text: await metrics.registry.metrics(), contentType: metrics.registry.contentType };
    },
    eventStream: events.stream,
    writable,
    projectId: config.projectId,
    page,
    producer,
    redis,
    logger,
  });
  let url: string;
  try {
    url = await http.listen({ host: config.http.host, port: config.http.port });
  } catch (error) {
    closeClient();
    redis.disconnect();
    throw error;
  }
  const publisher = new EventPublisher({
    redis,
    stream: events.stream,
    maxLength: events.maxLength,
    dedupTtlMs: events.dedupTtlMs,
    endpoint: cfw.endpoint,
  });
  // For producers and commands that cancel. While Redis is away it waits.
  announceEndpoint(redis, events.stream, { ...events, endpoint: cfw.endpoint }).catch(() => {});
  const observer = observers(jobLog(logger), metrics.observer);
  if (isLearned) void learner.run();
  const started = new JobWorker({
    redis,
    queueName: queue.name,
    queuePrefix: queue.prefix,
    concurrency: worker.concurrency,
    projectId: config.projectId,
    timeoutMs: polling.timeoutMs,
    callTimeoutMs: cfw.requestTimeoutMs,
    dedupTtlMs: events.dedupTtlMs,
    schedule: withJitter(isLearned ? learner.schedule : backoff, backoff),
    ratePerSecond: polling.ratePerSecond,
    poll: async (job, signal, maxMs) => {
      callMeter.count();
      const answer = await metrics.timed(() => client.getJob(job, signal, maxMs));
      cfwHealth.answered(answer);
      queueHealth.moved();
      return answer;
    },
    findPublished: async (job) => (await findPublished(redis, events.stream, [job]))[0],
    publish: (ended) => publisher.publish(jobEnd(ended)),
    publishUnfit: (queueJobId, job, enqueuedAt) =>
      publisher.publishUnreadable(
        { queueName: queue.name, queueJobId },
        {
          ...job,
          cfwStatus: null,
          reason: 'INVALID_REQUEST',
          message: job.problems.join('; '),
          beginTime: null,
          endTime: null,
          enqueuedAt: new Date(enqueuedAt).toISOString(),
          polls: 0,
          errorCounts: {},
          lastError: null,
        },
      ),
    observer: isLearned ? teaching(learner, observer) : observer,
    onLimited: metrics.limited,
  });
  jobs = started;
  stream = watchStream({ redis, stream: events.stream, maxLength: events.maxLength }, logger);
  logger.info({ url, endpoint: cfw.endpoint, queue: queue.name, stream: events.stream }, 'sidecar started');

  return {
    url,
    unfit,
    async stop() {
      logger.info('stopping: held jobs are parked');
      stream?.stop();
      learner.stop();
      http.release();
      const stopped = await started.stop();
      await http.close();
      // While Redis is away, these would wait for it.
      await inTime(Promise.all([producer.close(), inspector.close()]), CLOSE_LIMIT_MS).catch(() => {});
      closeClient();
      stopWatchingToken?.();
      redis.disconnect();
      if (stopped) logger.info('stopped');
      else logger.error('stopped without Redis; held jobs will be taken up again 10 to 15 s after it is back');
      return stopped;
    },
  };
}

/** Lets the learner learn from each job once. */
function teaching(learner: ScheduleLearner, observer: JobObserver): JobObserver {
  return {
    ...observer,
    ended(job, entryId, isNew) {
      observer.ended(job, entryId, isNew);
      if (isNew) void learner.learn(job.enqueuedAt, job.history);
    },
  };
}

function logCredentialState(state: CredentialState, kind: string, logger: Logger): void {
  if (state.state === 'accepted') {
    logger.info('credentials are accepted again');
    return;
  }
  if (state.state !== 'refused') return;
  const { code, httpStatus, message: error } = state.refusal;
  logger.error(
    { kind, code, httpStatus, error },
    'credentials are refused; jobs wait, and a single call probes now and then',
  );
}

function jobEnd({ job, enqueuedAt, verdict, history }: EndedJob): Parameters<EventPublisher['publish']>[0] {
  return {
    projectId: job.projectId,
    jobId: job.jobId,
    watchId: job.watchId,
    metadata: job.metadata,
    traceparent: job.traceparent,
    enqueuedAt: new Date(enqueuedAt).toISOString(),
    cfwStatus: history.cfwStatus,
    beginTime: history.beginTime,
    endTime: history.endTime,
    polls: history.polls,
    errorCounts: history.errorCounts,
    lastError: history.lastError,
    reason: verdict.kind === 'failed' ? verdict.reason : null,
    message: verdict.kind === 'failed' ? verdict.message : null,
  };
}
