import type { FailureKind, History, PollAnswer } from '../polling/index.js';
import type { EndedJob, JobObserver, PollJob } from '../queue/index.js';
import type { Logger } from './logger.js';

/**
 * How loud a failed call is: what mends itself is told to whoever looks, what someone may have to mend is a warning.
 * Refused credentials concern all jobs at once and are told once for all, so for a single job they are a detail.
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

/** What may pass by itself is worth a warning when it has lasted for so long. */
const LASTING_MS = 60_000;

/** Trouble with the queue that says the same again is told this often: each try to connect ends in it. */
const SAME_TROUBLE_MS = 60_000;

/** One line for a job's acceptance, its end and each failed call, and one for what lasts and should not. */
export function jobLog(logger: Logger): JobObserver {
  const ids = ({ projectId, jobId, watchId, traceparent }: PollJob) => ({
    projectId,
    jobId,
    ...(watchId === null ? {} : { watchId }),
    ...(traceparent === null ? {} : { traceparent }),
  });
  let lastTrouble = { message: '', at: Number.NEGATIVE_INFINITY };
  return {
    accepted(job) {
      logger.info(ids(job), 'job accepted');
    },
    polled(job: PollJob, answer: PollAnswer, history: History, before: History) {
      const fields = { ...ids(job), attempt: history.polls };
      if (answer.kind === 'job') {
        logger.debug({ ...fields, cfwStatus: answer.status }, 'job polled');
      } else {
        const { kind, code, httpStatus, message: error, retryAfterMs } = answer;
        const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
        logger[FAILED_CALL_LEVELS[kind]]({ ...fields, kind, code, httpStatus, error, ...wait }, 'call failed');
      }
      if (beginsToLast(history.deniedSince, history, before)) {
        logger.warn({ ...fields, ...history.lastError }, 'access to the project has been denied for a minute');
      }
      if (beginsToLast(history.unknownStatusSince, history, before)) {
        logger.warn({ ...fields, cfwStatus: history.cfwStatus }, 'CFW has told an unknown status for a minute');
      }
    },
    ended({ job, enqueuedAt, verdict, history }: EndedJob, entryId: string, isNew: boolean) {
      const fields = { ...ids(job), polls: history.polls, tookMs: Date.now() - enqueuedAt, entryId };
      if (!isNew) logger.info(fields, 'job had been published before');
      else if (verdict.kind === 'completed') logger.info(fields, 'job completed');
      else logger.warn({ ...fields, reason: verdict.reason, error: verdict.message }, 'job failed');
    },
    unfit(queueJobId, { projectId, jobId, problems }) {
      logger.warn({ queueJobId, projectId, jobId, reason: 'INVALID_REQUEST', problems }, 'job does not fit');
    },
    trouble(err, queueJobId) {
      if (queueJobId !== undefined) {
        logger.warn({ err, queueJobId }, 'queue trouble; the job stays in the queue');
        return;
      }
      const message = err instanceof Error ? err.message : String(err);
      const now = performance.now();
      if (message === lastTrouble.message && now - lastTrouble.at < SAME_TROUBLE_MS) return;
      lastTrouble = { message, at: now };
      logger.warn({ err }, 'queue trouble');
    },
  };
}

/** Whether it is this poll, and none before it, that finds that something has lasted for a minute: so it is told once. */
function beginsToLast(since: number | null, history: History, before: History): boolean {
  const lasted = (at: number | null) => since !== null && at !== null && at - since >= LASTING_MS;
  return lasted(history.lastPollAt) && !lasted(before.lastPollAt);
}
