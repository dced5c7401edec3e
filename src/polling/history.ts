import type { FailedCall, FailureKind, PollAnswer } from './answer.js';

/** The error of the last failed call, as the event has it. */
export interface LastError {
  readonly code: string;
  readonly httpStatus: number | null;
  readonly message: string;
  /** `X-Request-Id` of the answer; null when it had none, or no answer came. */
  readonly requestId: string | null;
}

/** What is known of a job from its polls so far, over all processes; it travels with the job when it is parked. */
export interface PollHistory {
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
  /** Since when CFW has given only an undocumented status; epoch milliseconds. */
  readonly unknownStatusSince: number | null;
  /** When the last poll was begun that found the job not ended; epoch milliseconds. */
  readonly runningAt: number | null;
}

/** The history of a job that was never polled. */
export const NEW_HISTORY: PollHistory = Object.freeze({
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

const KNOWN_STATUSES: readonly string[] = ['Running', 'Success', 'Failed'];

/** More codes than this are not counted for one job: the history is stored with it. */
const MAX_CODES = 32;
/** Texts from outside are cut to this many characters. */
const MAX_TEXT = 500;

/** Adds a poll and its answer to what is known. */
export function remember(history: PollHistory, answer: PollAnswer, polledAt: number): PollHistory {
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
  // answer about the job itself does: a 404 is no denied access.
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
