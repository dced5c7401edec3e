import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Deadline, deadlineOf, nextStep } from '../../src/polling/deadline.js';

const ENQUEUED_AT = 1_700_000_000_000;

describe('the deadline of a job', () => {
  it.each([
    ['one call before the end', 1_800_000, 10_000, 1_790_000],
    ['at the tenth of a short timeout before the end', 30_000, 10_000, 27_000],
    ['where both are the same', 100_000, 10_000, 90_000],
    ['of a timeout of 1 ms', 1, 10_000, 0.9],
  ])('has its last poll %s', (_where, timeoutMs, callMs, lastPollAfterMs) => {
    const deadline = deadlineOf(0, timeoutMs, callMs);
    expect(deadline).toEqual({ enqueuedAt: 0, at: timeoutMs, lastPollAt: lastPollAfterMs });
  });

  it('counts from the enqueueing', () => {
    expect(deadlineOf(ENQUEUED_AT, 60_000, 1_000)).toEqual({
      enqueuedAt: ENQUEUED_AT,
      at: ENQUEUED_AT + 60_000,
      lastPollAt: ENQUEUED_AT + 59_000,
    });
  });
});

describe('the next step', () => {
  const deadline: Deadline = { enqueuedAt: 0, at: 60_000, lastPollAt: 50_000 };

  it.each<[string, number, number, ReturnType<typeof nextStep>]>([
    ['is a poll after the delay', 10_000, 5_000, { at: 15_000, step: 'poll' }],
    ['is a poll at once without a delay', 10_000, 0, { at: 10_000, step: 'poll' }],
    ['is the last poll where the delay would end at it', 40_000, 10_000, { at: 50_000, step: 'poll' }],
    ['is the last poll where the delay would go beyond it', 49_999, 10_000, { at: 50_000, step: 'poll' }],
    ['is the last poll where the delay has no end', 0, Number.POSITIVE_INFINITY, { at: 50_000, step: 'poll' }],
    ['is the end of the job after the last poll', 50_000, 1_000, { at: 60_000, step: 'time-out' }],
    ['is the end of the job after a slow last poll', 59_000, 10_000, { at: 60_000, step: 'time-out' }],
    ['is the end of the job at once after the deadline', 61_000, 10_000, { at: 61_000, step: 'time-out' }],
  ])('%s', (_behaviour, now, delayMs, step) => {
    expect(nextStep(now, delayMs, deadline)).toEqual(step);
  });
});

describe('a job that never ends', () => {
  const anyJob = fc.record({
    timeoutMs: fc.integer({ min: 1, max: 60_000 }),
    callMs: fc.integer({ min: 1, max: 20_000 }),
    /** When a worker takes it up for the first time, after its enqueueing. */
    startMs: fc.integer({ min: 0, max: 120_000 }),
    delays: fc.infiniteStream(fc.integer({ min: 100, max: 90_000 })),
    /** How long each poll takes, as a share of `callMs`. */
    pollShares: fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
  });

  /** The steps of a job whose first poll begins at a time, each with the end of the poll before it and the delay. */
  function* steps(deadline: Deadline, start: number, delays: Iterator<number>, pollTimes: Iterator<number>) {
    let now = start;
    // A minute has 600 delays of 100 ms.
    for (let n = 0; n < 1_000; n += 1) {
      now += pollTimes.next().value;
      const delayMs = delays.next().value;
      const next = nextStep(now, delayMs, deadline);
      yield { ...next, now, delayMs };
      if (next.step === 'time-out') return;
      now = next.at;
    }
    throw new Error('the job does not come to an end');
  }

  it('goes forward with each poll, at most by the delay, and never beyond its last poll', () => {
    fc.assert(
      fc.property(anyJob, ({ timeoutMs, callMs, startMs, delays, pollShares }) => {
        const deadline = deadlineOf(ENQUEUED_AT, timeoutMs, callMs);
        const pollTimes = pollShares.map((share) => share * callMs);
        for (const { at, step, now, delayMs } of steps(deadline, ENQUEUED_AT + startMs, delays, pollTimes)) {
          if (step === 'time-out') break;
          expect(at).toBeGreaterThan(now);
          expect(at).toBeLessThanOrEqual(Math.min(now + delayMs, deadline.lastPollAt));
        }
      }),
    );
  });

  it('is timed out at its deadline or, where a poll lasts longer, right after that poll', () => {
    fc.assert(
      fc.property(anyJob, ({ timeoutMs, callMs, startMs, delays, pollShares }) => {
        const deadline = deadlineOf(ENQUEUED_AT, timeoutMs, callMs);
        const start = ENQUEUED_AT + startMs;
        const pollTimes = pollShares.map((share) => share * callMs);
        const last = [...steps(deadline, start, delays, pollTimes)].at(-1) as { at: number; now: number };
        expect(last.at).toBe(Math.max(last.now, deadline.at));
        expect(last.at).toBeLessThanOrEqual(Math.max(start, deadline.at) + callMs);
        // No answer is older than the last poll is due.
        expect(last.now).toBeGreaterThanOrEqual(deadline.lastPollAt);
      }),
    );
  });

  it('has a poll between the time of its last poll and its deadline', () => {
    fc.assert(
      fc.property(anyJob, ({ timeoutMs, callMs, delays }) => {
        const deadline = deadlineOf(ENQUEUED_AT, timeoutMs, callMs);
        const noTime = { next: () => ({ value: 0 }) };
        const last = [...steps(deadline, ENQUEUED_AT, delays, noTime)].at(-1);
        expect(last).toMatchObject({ now: deadline.lastPollAt, at: deadline.at });
        expect(deadline.lastPollAt).toBeLessThan(deadline.at);
      }),
    );
  });
});
