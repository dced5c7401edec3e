/** What CFW said of a job. */
export interface JobAnswer {
  readonly kind: 'job';
  /** `Running`, `Success`, `Failed`, or one of the values that nobody documented. */
  readonly status: string;
  /** RFC 3339 in UTC, or null where CFW told none. */
  readonly beginTime: string | null;
  readonly endTime: string | null;
}

/**
 * What a failed call means for the job:
 *
 * - `transient`: trouble on the other side or on the way; ask again.
 * - `throttled`: too many calls; ask again, after the wait it may name.
 * - `not-found`: CFW does not know the job, perhaps not yet.
 * - `denied`: access to the job's project is denied.
 * - `rejected`: CFW refuses the read for a reason that nobody documented; it may pass.
 * - `invalid`: the request itself is wrong and stays so.
 * - `unauthorized`: trouble with the credentials or the account, which is no fault of the job.
 * - `withheld`: no call was made, since it is known that the credentials are refused or cannot be had.
 */
export type FailureKind =
  | 'transient'
  | 'throttled'
  | 'not-found'
  | 'denied'
  | 'rejected'
  | 'invalid'
  | 'unauthorized'
  | 'withheld';

/** A call that failed. */
export interface FailedCall {
  readonly kind: FailureKind;
  /** The error code of CFW or its gateway, else the network error's (`ECONNRESET`), else `HTTP_<status>`. */
  readonly code: string;
  /** null where no answer came. */
  readonly httpStatus: number | null;
  readonly message: string;
  /** How long the other side asked to wait, in milliseconds; 0 where it makes sense to ask again at once. */
  readonly retryAfterMs?: number;
  /** `X-Request-Id` of the answer, which the vendor's support asks for. */
  readonly requestId?: string;
}

/** How one poll came out. */
export type PollAnswer = JobAnswer | FailedCall;

/** Why a job failed; the words are those of the event. */
export type FailureReason = 'JOB_FAILED' | 'JOB_NOT_FOUND' | 'TIMED_OUT' | 'ACCESS_DENIED' | 'INVALID_REQUEST';

/** The error of the last failed call, as the event tells it. */
export interface LastError {
  readonly code: string;
  readonly httpStatus: number | null;
  readonly message: string;
  /** `X-Request-Id` of the answer; null when it had none, or no answer came. */
  readonly requestId: string | null;
}

/** What is known of a job from its polls so far, over all processes; it travels with the job when it is parked. */
export interface History {
  /** HTTP calls made for this job. */
  readonly polls: number;
  /** Failed calls by code. */
  readonly errorCounts: Readonly<Record<string, number>>;
  readonly lastError: LastError | null;
  /** The last status CFW gave. */
  readonly cfwStatus: string | null;
  readonly beginTime: string | null;
  readonly endTime: string | null;
  /** When the last poll was begun, in epoch milliseconds. */
  readonly lastPollAt: number | null;
  /** Since when CFW has not known the job, denied access or rejected the read without a break; epoch milliseconds. */
  readonly notFoundSince: number | null;
  readonly deniedSince: number | null;
  readonly rejectedSince: number | null;
  /** Since when CFW has told only a status that nobody documented; epoch milliseconds. */
  readonly unknownStatusSince: number | null;
  /** When the last poll was begun that found the job not ended; epoch milliseconds. */
  readonly runningAt: number | null;
}

/** The history of a job that was never polled. */
export const NEW_HISTORY: History = Object.freeze({
  polls: 0,
  errorCounts: {},
  lastError: null,
  cfwStatus: null,
  beginTime: null,
  endTime: null,
  lastPollAt: null,
  notFoundSince: null,
  deniedSince: null,
  rejectedSince: null,
  unknownStatusSince: null,
  runningAt: null,
});

/** How long CFW may not know a job, or reject the read of it for no documented reason, before that is the end of it. */
export const NOT_FOUND_PATIENCE_MS = 120_000;
/** How long CFW may deny access to a job's project before that is the end of it. */
export const DENIED_PATIENCE_MS = 300_000;

const KNOWN_STATUSES: readonly string[] = ['Running', 'Success', 'Failed'];

/** More codes than this are not counted for one job: the history is stored with it. */
const MAX_CODES = 32;
/** Texts from outside are cut to this many characters. */
const MAX_TEXT = 500;

/** Adds a poll and its answer to what is known. */
export function remember(history: History, answer: PollAnswer, polledAt: number): History {
  if (answer.kind === 'withheld') return { ...history, lastPollAt: polledAt, lastError: lastErrorOf(answer) };
  const polled = { ...history, polls: history.polls + 1, lastPollAt: polledAt };
  if (answer.kind === 'job') {
    return {
      ...polled,
      cfwStatus: answer.status.slice(0, MAX_TEXT),
      beginTime: answer.beginTime ?? history.beginTime,
      endTime: answer.endTime ?? history.endTime,
      notFoundSince: null,
      deniedSince: null,
      rejectedSince: null,
      runningAt: answer.status === 'Success' || answer.status === 'Failed' ? history.runningAt : polledAt,
      unknownStatusSince: KNOWN_STATUSES.includes(answer.status) ? null : (history.unknownStatusSince ?? polledAt),
    };
  }
  const lastError = lastErrorOf(answer);
  const { code } = lastError;
  const count = Object.hasOwn(history.errorCounts, code) ? (history.errorCounts[code] ?? 0) : 0;
  const counted = count > 0 || Object.keys(history.errorCounts).length < MAX_CODES;
  // An outage, a throttle or a refused credential says nothing about the job, so it breaks no run of 404s or 403s; an
  // answer about the job itself does: who is told 404 was not denied access.
  const aboutTheJob = answer.kind === 'not-found' || answer.kind === 'denied' || answer.kind === 'rejected';
  const since = (kind: FailureKind, before: number | null) =>
    answer.kind === kind ? (before ?? polledAt) : aboutTheJob ? null : before;
  return {
    ...polled,
    errorCounts: counted ? { ...history.errorCounts, [code]: count + 1 } : history.errorCounts,
    lastError,
    notFoundSince: since('not-found', history.notFoundSince),
    deniedSince: since('denied', history.deniedSince),
    rejectedSince: since('rejected', history.rejectedSince),
  };
}

const lastErrorOf = ({ code, httpStatus, message, requestId }: FailedCall): LastError => ({
  code: code.slice(0, 64),
  httpStatus,
  message: message.slice(0, MAX_TEXT),
  requestId: requestId?.slice(0, 128) ?? null,
});

/**
 * What an answer means: the job has ended, or it has to be asked for again: as the schedule says, but not before `waitMs`
 * where that is told, and at once where it is 0.
 */
export type Verdict =
  | { readonly kind: 'completed' }
  | { readonly kind: 'failed'; readonly reason: FailureReason; readonly message: string }
  | { readonly kind: 'pending'; readonly waitMs?: number | undefined };

const pending = (waitMs?: number): Verdict => ({ kind: 'pending', waitMs });
const failed = (reason: FailureReason, message: string): Verdict => ({ kind: 'failed', reason, message });

/**
 * The one place where it is decided what an answer means.
 *
 * @param history what is known, this answer included.
 */
export function decide(answer: PollAnswer, history: History, now: number): Verdict {
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
      // Nobody is asked again at once for having said "Retry-After: 0".
      return pending(answer.retryAfterMs || undefined);
    default:
      return answer satisfies never;
  }
}

/** The verdict at the deadline: what was last known tells whether the job was slow or could not be asked about. */
export function timedOut(history: History, timeoutMs: number): Verdict & { kind: 'failed' } {
  const last =
    history.cfwStatus !== null
      ? `CFW last said ${history.cfwStatus}`
      : history.lastError !== null
        ? `the last call failed with ${history.lastError.code}`
        : 'CFW never answered';
  return { kind: 'failed', reason: 'TIMED_OUT', message: `not ended within ${timeoutMs / 1_000} s; ${last}` };
}
