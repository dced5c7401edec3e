import type { EndedJob } from '../events/index.js';
import type { FailureKind, PollHistory } from '../polling/index.js';
import type { JobEvents } from '../queue/index.js';
import type { Logger } from './logger.js';

/**
 * The level of a failed call: what passes by itself is information, what a person may have to repair is a warning. Refused
 * credentials concern all jobs and are logged once for all, so for a single job they are a detail.
 */
const FAILED_CALL_LEVELS: Readonly<Record<FailureKind, 'debug' | 'info' | 'warn'>> = {
  transient: 'warn',
  throttled: 'info',
  'not-found': 'info',
  denied: 'info',
  rejected: 'warn',
  invalid: 'warn',
  unauthorized: 'debug',
  withheld: 'debug',
};

/** What may pass by itself is worth a warning after this, in milliseconds. */
const LASTING_MS = 60_000;

/** The same error of the queue is logged this often, in milliseconds: each try to connect ends in it. */
const SAME_ERROR_MS = 60_000;

/** Logs a job's acceptance, its end and each failed call, and once what lasts and should not. */
export function logJobs(events: JobEvents, logger: Logger): void {
  const ids = ({ projectId, jobId, watchId, traceparent }: EndedJob['job']) => ({
    projectId,
    jobId,
    ...(watchId === null ? {} : { watchId }),
    ...(traceparent === null ? {} : { traceparent }),
  });
  let lastError = { message: '', at: Number.NEGATIVE_INFINITY };
  events.on('accepted', (job) => logger.info(ids(job), 'job accepted'));
  events.on('polled', ({ job, answer, history, before }) => {
    const fields = { ...ids(job), attempt: history.polls };
    if (answer.kind === 'job') {
      logger.debug({ ...fields, cfwStatus: answer.status }, 'job polled');
    } else {
      const { kind, code, httpStatus, message: error, retryAfterMs } = answer;
      const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
      logger[FAILED_CALL_LEVELS[kind]]({ ...fields, kind, code, httpStatus, error, ...wait }, 'call failed');
    }
    if (beginsToLast(history.deniedSince, history, before)) {
      logger.warn({ ...fields, ...history.lastError }, 'access to project denied for a minute');
    }
    if (beginsToLast(history.unknownStatusSince, history, before)) {
      logger.warn({ ...fields, cfwStatus: history.cfwStatus }, 'unknown job status for a minute');
    }
  });
  events.on('ended', ({ job, enqueuedAt, endedAt, verdict, history }, { entryId, isNew }) => {
    const fields = { ...ids(job), polls: history.polls, tookMs: Math.round(endedAt - enqueuedAt), entryId };
    if (!isNew) logger.info(fields, 'job had been published before');
    else if (verdict.kind === 'completed') logger.info(fields, 'job completed');
    else logger.warn({ ...fields, reason: verdict.reason, error: verdict.message }, 'job failed');
  });
  events.on('invalid', (queueJobId, { projectId, jobId, problems }) => {
    logger.warn({ queueJobId, projectId, jobId, reason: 'INVALID_REQUEST', problems }, 'job invalid');
  });
  events.on('writes', (err) => {
    if (err === undefined) logger.info('redis accepts writes again');
    else logger.error({ err }, 'redis refuses writes');
  });
  events.on('error', (err, queueJobId) => {
    if (queueJobId !== undefined) {
      logger.warn({ err, queueJobId }, 'queue error; job stays in the queue');
      return;
    }
    const message = err instanceof Error ? err.message : String(err);
    const now = performance.now();
    if (message === lastError.message && now - lastError.at < SAME_ERROR_MS) return;
    lastError = { message, at: now };
    logger.warn({ err }, 'queue error');
  });
}

/** Whether it is this poll, and none before it, that finds that something has lasted for a minute, so that it is logged once. */
function beginsToLast(since: number | null, history: PollHistory, before: PollHistory): boolean {
  const lasted = (at: number | null) => since !== null && at !== null && at - since >= LASTING_MS;
  return lasted(history.lastPollAt) && !lasted(before.lastPollAt);
}
