import type { PollAnswer } from './answer.js';
import type { PollHistory } from './history.js';

/** Why a job failed; the words are those of the event. */
export type FailureReason = 'JOB_FAILED' | 'JOB_NOT_FOUND' | 'TIMED_OUT' | 'ACCESS_DENIED' | 'INVALID_REQUEST';

/** How long CFW may not know a job, or reject the read of it for no documented reason, before that is the end of it. */
export const NOT_FOUND_PATIENCE_MS = 120_000;
/** How long CFW may deny access to a job's project before that is the end of it. */
export const DENIED_PATIENCE_MS = 300_000;

/**
 * What an answer means: the job has ended, or it has to be asked for again: as the schedule says, but not before `waitMs`
 * if that is given, and at once if it is 0.
 */
export type Verdict =
  | { readonly kind: 'completed' }
  | { readonly kind: 'failed'; readonly reason: FailureReason; readonly message: string }
  | { readonly kind: 'pending'; readonly waitMs?: number | undefined };

/** How a job ended. */
export type FinalVerdict = Exclude<Verdict, { kind: 'pending' }>;

const pending = (waitMs?: number): Verdict => ({ kind: 'pending', waitMs });
const failed = (reason: FailureReason, message: string): Verdict => ({ kind: 'failed', reason, message });

/**
 * The one place that decides what an answer means.
 *
 * @param history what is known, this answer included.
 */
export function decide(answer: PollAnswer, history: PollHistory, now: number): Verdict {
  const lasting = (since: number | null, patienceMs: number) => since !== null && now - since >= patienceMs;
  switch (answer.kind) {
    case 'job':
      if (answer.status === 'Success') return { kind: 'completed' };
      if (answer.status === 'Failed') return failed('JOB_FAILED', 'CFW says that the job failed');
      return pending();
    case 'not-found':
      return lasting(history.notFoundSince, NOT_FOUND_PATIENCE_MS)
        ? failed('JOB_NOT_FOUND', 'CFW does not know the job, 2 minutes after it first said so')
        : pending();
    case 'denied':
      return lasting(history.deniedSince, DENIED_PATIENCE_MS)
        ? failed('ACCESS_DENIED', `access to the project has been denied for 5 minutes: ${answer.message}`)
        : pending();
    case 'rejected':
      return lasting(history.rejectedSince, NOT_FOUND_PATIENCE_MS)
        ? failed('INVALID_REQUEST', `CFW has rejected the request for 2 minutes: ${answer.message}`)
        : pending();
    case 'invalid':
      return failed('INVALID_REQUEST', `CFW calls the request itself wrong: ${answer.message}`);
    case 'unauthorized':
      return pending(answer.retryAfterMs);
    case 'throttled':
    case 'transient':
    case 'withheld':
      // "Retry-After: 0" is no reason to poll again at once.
      return pending(answer.retryAfterMs || undefined);
    default:
      return answer satisfies never;
  }
}

/** The verdict at the deadline: what was last known says whether the job was slow or could not be polled. */
export function timedOut(history: PollHistory, timeoutMs: number): Verdict & { kind: 'failed' } {
  const last =
    history.cfwStatus !== null
      ? `CFW last said ${history.cfwStatus}`
      : history.lastError !== null
        ? `the last call failed with ${history.lastError.code}`
        : 'CFW never answered';
  return { kind: 'failed', reason: 'TIMED_OUT', message: `not ended within ${timeoutMs / 1_000} s; ${last}` };
}
