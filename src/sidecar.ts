import {
  akskCredential,
  CfwClient,
  type Credential,
  createHttp,
  type HttpClient,
  iamCredential,
  tokenCredential,
} from './cfw/index.js';
import type { Config, CredentialsConfig } from './config.js';
import { EventPublisher, findPublished } from './events/index.js';
import { DurationMemory, ScheduleLearner } from './learning/index.js';
import { createReadiness } from './ops/health.js';
import { createHttpServer } from './ops/http.js';
import { jobLog } from './ops/job-log.js';
import type { Logger } from './ops/logger.js';
import { logRedisState } from './ops/redis-log.js';
import { watchStream } from './ops/stream-log.js';
import { exponentialBackoff, withJitter } from './polling/index.js';
import { type EndedJob, type JobObserver, JobWorker, queueLoad } from './queue/index.js';
import { serviceRedis } from './redis.js';
import { inspectOnceThere, type UnfitRedisError } from './redis-fitness.js';

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
export async function startSidecar(config: Config, logger: Logger): Promise<Sidecar> {
  const { cfw, events, polling, queue, worker } = config;
  const redis = serviceRedis(config.redis);
  logRedisState(redis, logger);
  const unfit = inspectOnceThere(redis, (message) => logger.warn(message));
  const { client, close: closeClient } = createClient(config, logger);
  const http = createHttpServer(createReadiness(redis, () => client.credentialState));
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
  });
  const isLearned = polling.schedule === 'learned';
  if (isLearned) void learner.run();
  const jobs = new JobWorker({
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
    poll: (job, signal, maxMs) => client.getJob(job, signal, maxMs),
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
    observer: isLearned ? teaching(learner, jobLog(logger)) : jobLog(logger),
  });
  const stream = watchStream({ redis, stream: events.stream, maxLength: events.maxLength }, logger);
  logger.info({ url, endpoint: cfw.endpoint, queue: queue.name, stream: events.stream }, 'sidecar started');

  return {
    url,
    unfit,
    async stop() {
      logger.info('stopping: held jobs are parked');
      stream.stop();
      learner.stop();
      const stopped = await jobs.stop();
      await http.close();
      closeClient();
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

/** The client with the credential that is configured, and how to close both. */
function createClient({ cfw, credentials }: Config, logger: Logger): { client: CfwClient; close: () => void } {
  const { requestTimeoutMs, proxy, endpoint } = cfw;
  const toCfw = createHttp({ requestTimeoutMs, proxy });
  const toIam = credentials.kind === 'iam' ? createHttp({ requestTimeoutMs, proxy: credentials.proxy }) : undefined;
  const client = new CfwClient({
    endpoint,
    requestTimeoutMs,
    http: toCfw.http,
    credential: createCredential(credentials, toIam?.http ?? toCfw.http),
    onCredentialState: (state) => {
      if (state.state === 'accepted') {
        logger.info('credentials are accepted again');
        return;
      }
      if (state.state !== 'refused') return;
      const { code, httpStatus, message: error } = state.refusal;
      logger.error(
        { kind: credentials.kind, code, httpStatus, error },
        'credentials are refused; jobs wait, and a single call probes now and then',
      );
    },
  });
  return {
    client,
    close: () => {
      client.close();
      toCfw.close();
      toIam?.close();
    },
  };
}

function createCredential(credentials: CredentialsConfig, iamHttp: HttpClient): Credential {
  switch (credentials.kind) {
    case 'aksk':
      return akskCredential(credentials);
    case 'iam':
      return iamCredential(credentials, iamHttp);
    case 'token':
      return tokenCredential(credentials.token);
    default:
      return credentials satisfies never;
  }
}

function jobEnd({ job, enqueuedAt, verdict, history }: EndedJob): Parameters<EventPublisher['publish']>[0] {
  return {
    projectId: job.projectId,
    jobId: job.jobId,
    watchId: job.watchId,
    metadata: job.metadata,
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
