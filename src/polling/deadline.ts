/** The end of a job's patience, in epoch milliseconds. */
export interface Deadline {
  readonly enqueuedAt: number;
  /** When the job times out: enqueueing plus its timeout. */
  readonly at: number;
  /** When the last poll is due: early enough that its answer can still come before the deadline. */
  readonly lastPollAt: number;
}

/**
 * @param timeoutMs from enqueueing to giving up.
 * @param callMs how long one call may take; the last poll is that long before the deadline, but never more than a tenth
 *   of the timeout, so that a short timeout is not eaten up by it.
 */
export function deadlineOf(enqueuedAt: number, timeoutMs: number, callMs: number): Deadline {
  const at = enqueuedAt + timeoutMs;
  return { enqueuedAt, at, lastPollAt: at - Math.min(callMs, timeoutMs / 10) };
}

/** The next thing to do for a job that has not ended: a poll, or to time it out without a further one. */
export interface NextStep {
  readonly at: number;
  readonly step: 'poll' | 'time-out';
}

/**
 * The next step after a poll that ended just now: a poll after the delay, but never later than the last poll, which is
 * shortly before the deadline; after that one only the deadline is left.
 */
export function nextStep(now: number, delayMs: number, deadline: Deadline): NextStep {
  if (now >= deadline.lastPollAt) return { at: Math.max(now, deadline.at), step: 'time-out' };
  return { at: Math.min(now + delayMs, deadline.lastPollAt), step: 'poll' };
}
