import { setTimeout as sleep } from 'node:timers/promises';
import pRetry from 'p-retry';
import { type Deadline, type NextStep, nextStep } from './deadline.js';
import type { Schedule } from './schedule.js';
import { decide, type History, type PollAnswer, remember, timedOut, type Verdict } from './verdict.js';

/** What the loop needs to know and to be able to do. */
export interface PollLoopOptions {
  /**
   * One call to CFW; it never throws, a failed call is an answer too.
   *
   * @param maxMs how long it may take at the most, in milliseconds: an answer after the deadline comes too late.
   */
  readonly poll: (maxMs: number) => Promise<PollAnswer>;
  /** Asked before each further call; where it says no, the job is parked at once, to stand in line for its call. */
  readonly admit: () => Promise<boolean>;
  /** Told each answer, with what was known before and what is known with it. */
  readonly observe?: (answer: PollAnswer, history: History, before: History) => void;
  readonly schedule: Schedule;
  readonly deadline: Deadline;
  /** What earlier polls found out, by this process or others. */
  readonly history: History;
  /**
   * Whether to wait this long (milliseconds) here, holding the job; else it is parked, with the history. Where it says
   * yes, it is told the end of the wait by `release`.
   */
  readonly hold: (delayMs: number, history: History) => boolean;
  readonly release: () => void;
  /** Cuts every wait short: the job is then parked until its next step. A call under way is not cut. */
  readonly signal: AbortSignal;
  /** The clock, in epoch milliseconds; `Date.now` unless told. */
  readonly now?: () => number;
}

/** How the loop ended: with the job's end, or with the time at which it has to be taken up again. */
export type PollLoopResult =
  | { readonly kind: 'ended'; readonly verdict: Exclude<Verdict, { kind: 'pending' }>; readonly history: History }
  | { readonly kind: 'park'; readonly until: number; readonly history: History };

/** Thrown to p-retry where the job has to be asked for again; nobody looks at it, so one is enough. */
const NOT_ENDED = new Error('the job has not ended');

/**
 * Polls a job until it ends or is better parked.
 *
 * p-retry drives the attempts, but its delays are switched off: it copies them once and counts attempts, while the
 * schedule goes by the time since enqueueing. `shouldRetry` asks the schedule and does the waiting instead.
 */
export async function pollUntilEnd(options: PollLoopOptions): Promise<PollLoopResult> {
  const { poll, admit, observe, schedule, deadline, hold, release, signal, now = Date.now } = options;
  let history = options.history;
  let waitMs: number | undefined;
  let failed = false;
  // Kept out here, since p-retry would throw an answer away that comes in after the signal was aborted.
  let result: PollLoopResult | undefined;

  const timeOut = (): PollLoopResult => ({
    kind: 'ended',
    verdict: timedOut(history, deadline.at - deadline.enqueuedAt),
    history,
  });

  // The last poll was made before (then the job was parked until its deadline), so only the deadline is left.
  if (history.lastPollAt !== null && history.lastPollAt >= deadline.lastPollAt && now() >= deadline.at)
    return timeOut();

  const attempt = async () => {
    const polledAt = now();
    // Who was overdue from the start gets the time of a whole call.
    const answer = await poll(polledAt < deadline.at ? deadline.at - polledAt : Number.POSITIVE_INFINITY);
    failed = answer.kind !== 'job';
    const before = history;
    history = remember(before, answer, polledAt);
    observe?.(answer, history, before);
    const verdict = decide(answer, history, now());
    if (verdict.kind === 'pending') {
      waitMs = verdict.waitMs;
      throw NOT_ENDED;
    }
    result = { kind: 'ended', verdict, history };
  };

  const waitForNextPoll = async ({ error }: { error: Error }): Promise<boolean> => {
    if (error !== NOT_ENDED) return false;
    const scheduledMs = schedule(now() - deadline.enqueuedAt, failed);
    const next: NextStep = nextStep(now(), waitMs === 0 ? 0 : Math.max(scheduledMs, waitMs ?? 0), deadline);
    const delayMs = next.at - now();
    if (delayMs > 0) {
      result = { kind: 'park', until: next.at, history };
      if (signal.aborted || !hold(delayMs, history)) return false;
      const waited = await sleep(delayMs, true, { signal })
        .catch(() => false)
        .finally(release);
      if (!waited) return false;
    }
    if (next.step === 'time-out') {
      result = timeOut();
      return false;
    }
    if (await admit()) return true;
    // Since then it has been due, also while it stands in line.
    result = { kind: 'park', until: next.at, history };
    return false;
  };

  await pRetry(attempt, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 0,
    randomize: false,
    shouldRetry: waitForNextPoll,
  }).catch((error: unknown) => {
    if (error !== NOT_ENDED) throw error;
  });
  if (result === undefined) throw new Error('the poll loop ended without a result');
  return result;
}
