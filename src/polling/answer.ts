/** What CFW said of a job. */
export interface JobAnswer {
  readonly kind: 'job';
  /** `Running`, `Success`, `Failed`, or an undocumented value. */
  readonly status: string;
  /** RFC 3339 in UTC, or null if CFW gave none. */
  readonly beginTime: string | null;
  readonly endTime: string | null;
}

/**
 * What a failed call means for the job:
 *
 * - `transient`: an error on the other side or on the way; ask again.
 * - `throttled`: too many calls; ask again, after the wait it may name.
 * - `not-found`: CFW does not know the job, perhaps not yet.
 * - `denied`: access to the job's project is denied.
 * - `rejected`: CFW refuses the read for an undocumented reason; it may pass.
 * - `invalid`: the request itself is wrong and stays so.
 * - `unauthorized`: an error of the credentials or the account, not of the job.
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
  /** null if no answer came. */
  readonly httpStatus: number | null;
  readonly message: string;
  /** How long the other side asked to wait, in milliseconds; 0 if it makes sense to ask again at once. */
  readonly retryAfterMs?: number;
  /** `X-Request-Id` of the answer, which the vendor's support asks for. */
  readonly requestId?: string;
}

/** How one poll came out. */
export type PollAnswer = JobAnswer | FailedCall;
