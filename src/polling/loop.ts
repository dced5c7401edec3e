import { setTimeout as sleep } from 'node:timers/promises';
import pRetry from 'p-retry';
import type { PollAnswer } from './answer.js';
import { type Deadline, type NextStep, nextStep } from './deadline.js';
import { type PollHistory, remember } from './history.js';
import type { Schedule } from './schedule.js';
import { decide, type FinalVerdict, timedOut } from './verdict.js';

/** What the loop works with. */
export interface PollLoopOptions {
  /**
   * One call to CFW. It never throws: a failed call is an answer too. `undefined` means that no call could be made now, so the
   * job goes back to the queue at once.
   *
   * @param maxMs the longest it may take, in milliseconds: an answer after the deadline comes too late.
   */
  readonly poll: (maxMs: number) => Promise<PollAnswer | undefined>;
  /** Asked before each further call. False parks the job at once, to wait in the backlog for its call. */
  readonly admit: () => Promise<boolean>;
  /** Gets each answer, with the history before and after it. */
  readonly observe?: (answer: PollAnswer, history: PollHistory, before: PollHistory) => void;
  readonly schedule: Schedule;
  readonly deadline: Deadline;
  /** What earlier polls found out, by this process or others. */
  readonly history: PollHistory;
  /**
   * Whether to wait this long (milliseconds) here, holding the job; else it is parked, with the history. After `true`,
   * `release` is called at the end of the wait.
   */
  readonly hold: (delayMs: number, history: PollHistory) => boolean | Promise<boolean>;
  readonly release: () => void;
  /** Cuts every wait short: the job is then parked until its next step. A call under way is not cut. */
  readonly signal: AbortSignal;
  /** The clock, in epoch milliseconds. @default Date.now */
  readonly now?: () => number;
}

/** How the loop ended: with the job's end, or with the time at which the job is due again. */
export type PollLoopResult =
  | { readonly kind: 'ended'; readonly verdict: FinalVerdict; readonly history: PollHistory }
  | { readonly kind: 'park'; readonly until: number; readonly history: PollHistory };

/** Makes p-retry go on; every other error is a defect and ends the loop. */
const STILL_RUNNING = new Error('the job has not ended');

/**
 * Polls a job until it ends or is better parked.
 *
 * p-retry drives the attempts. Its own delays count attempts, while the schedule goes by the time since enqueueing, so they
 * are off (`minTimeout: 0`) and each further attempt begins by waiting.
 */
export async function pollUntilEnd(options: PollLoopOptions): Promise<PollLoopResult> {
  const { poll, admit, observe, schedule, deadline, hold, release, signal, now = Date.now } = options;
  let history = options.history;
  /** When the next poll may come, according to the last answer. */
  let next = (): NextStep => ({ at: now(), step: 'poll' });

  const park = (until: number): PollLoopResult => ({ kind: 'park', until, history });
  const timeOut = (): PollLoopResult => {
    const verdict = timedOut(history, deadline.at - deadline.enqueuedAt);
    return { kind: 'ended', verdict, history };
  };

  // The last poll was made before the job was parked, so only the deadline is left.
  if (history.lastPollAt !== null && history.lastPollAt >= deadline.lastPollAt && now() >= deadline.at)
    return timeOut();

  /** @returns undefined once the next poll may be made, else how the loop ends. */
  const waitForTurn = async (): Promise<PollLoopResult | undefined> => {
    const { at, step } = next();
    const delayMs = at - now();
    if (delayMs > 0) {
      if (signal.aborted || !(await hold(delayMs, history))) return park(at);
      const waited = await sleep(delayMs, true, { signal })
        .catch(() => false)
        .finally(release);
      if (!waited) return park(at);
    }
    if (step === 'time-out') return timeOut();
    return (await admit()) ? undefined : park(at);
  };

  const attempt = async (attemptNumber: number): Promise<PollLoopResult> => {
    const stopped = attemptNumber > 1 ? await waitForTurn() : undefined;
    if (stopped !== undefined) return stopped;
    const polledAt = now();
    // A job that was overdue from the start gets the time of a whole call.
    const answer = await poll(polledAt < deadline.at ? deadline.at - polledAt : Number.POSITIVE_INFINITY);
    if (answer === undefined) return park(polledAt);
    const before = history;
    history = remember(before, answer, polledAt);
    observe?.(answer, history, before);
    const verdict = decide(answer, history, now());
    if (verdict.kind !== 'pending') return { kind: 'ended', verdict, history };
    const { waitMs } = verdict;
    next = () => {
      const scheduledMs = schedule(now() - deadline.enqueuedAt, answer.kind !== 'job');
      return nextStep(now(), waitMs === 0 ? 0 : Math.max(scheduledMs, waitMs ?? 0), deadline);
    };
    throw STILL_RUNNING;
  };

  return await pRetry(attempt, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 0,
    factor: 1,
    randomize: false,
    shouldRetry: ({ error }) => error === STILL_RUNNING,
  });
}
