import type { FailureKind, PollAnswer } from '../polling/index.js';
import type { EndedJob, JobObserver, PollJob } from '../queue/index.js';
import type { Logger } from './logger.js';

/**
 * How loud a failed call is: what mends itself is told to whoever looks, what someone has to mend is a warning. Refused
 * credentials concern all jobs at once, so for a single job they are a detail.
 */
const FAILED_CALL_LEVELS: Readonly<Record<FailureKind, 'debug' | 'info' | 'warn'>> = {
  transient: 'warn',
  throttled: 'info',
  'not-found': 'info',
  denied: 'warn',
  rejected: 'warn',
  invalid: 'warn',
  unauthorized: 'warn',
};

/** One line for a job's acceptance, its end and each failed call. */
export function jobLog(logger: Logger): JobObserver {
  const ids = ({ projectId, jobId, watchId }: PollJob) => ({
    projectId,
    jobId,
    ...(watchId === null ? {} : { watchId }),
  });
  return {
    accepted(job) {
      logger.info(ids(job), 'job accepted');
    },
    polled(job: PollJob, answer: PollAnswer, attempt: number) {
      if (answer.kind === 'job') {
        logger.debug({ ...ids(job), attempt, cfwStatus: answer.status }, 'job polled');
        return;
      }
      const { kind, code, httpStatus, message, retryAfterMs } = answer;
      logger[FAILED_CALL_LEVELS[kind]](
        {
          ...ids(job),
          attempt,
          kind,
          code,
          httpStatus,
          error: message,
          ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        },
        'call failed',
      );
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
      logger.warn(
        { err, ...(queueJobId === undefined ? {} : { queueJobId }) },
        'queue trouble; the job stays in the queue',
      );
    },
  };
}
