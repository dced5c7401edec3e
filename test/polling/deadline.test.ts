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
  // A minute in at most 600 steps keeps a run short; the bounds scale with the timeout.
  const anyJob = fc.record({
    timeoutMs: fc.integer({ min: 1, max: 60_000 }),
    callMs: fc.integer({ min: 1, max: 20_000 }),
    /** When a worker takes it up for the first time, after its enqueueing. */
    startMs: fc.integer({ min: 0, max: 120_000 }),
    delays: fc.infiniteStream(fc.integer({ min: 100, max: 90_000 })),
    /** How long each poll takes, as a share of `callMs`. */
    pollShares: fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
  });

  it('is polled up to its deadline and a last time shortly before, each step later than the one before', () => {
    fc.assert(
      fc.property(anyJob, ({ timeoutMs, callMs, startMs, delays, pollShares }) => {
        const deadline = deadlineOf(ENQUEUED_AT, timeoutMs, callMs);
        const start = ENQUEUED_AT + startMs;
        let now = start;
        for (;;) {
          now += callMs * pollShares.next().value;
          const delayMs = delays.next().value;
          const { at, step } = nextStep(now, delayMs, deadline);
          if (step === 'time-out') {
            // The poll that has ended just now was the last one: its answer came when no further one was due …
            expect(now).toBeGreaterThanOrEqual(deadline.lastPollAt);
            // … and nothing waits longer than for the deadline.
            expect(at).toBe(Math.max(now, deadline.at));
            expect(at).toBeLessThanOrEqual(Math.max(start, deadline.at) + callMs);
            return;
          }
          expect(at).toBeGreaterThan(now);
          expect(at).toBeLessThanOrEqual(Math.min(now + delayMs, deadline.lastPollAt));
          now = at;
        }
      }),
    );
  });

  it('has a poll between the last poll time and the deadline where polls take no time', () => {
    fc.assert(
      fc.property(anyJob, ({ timeoutMs, callMs, delays }) => {
        const deadline = deadlineOf(ENQUEUED_AT, timeoutMs, callMs);
        const polledAt = [ENQUEUED_AT];
        for (;;) {
          const { at, step } = nextStep(polledAt.at(-1) as number, delays.next().value, deadline);
          if (step === 'time-out') break;
          polledAt.push(at);
        }
        expect(polledAt.at(-1)).toBe(deadline.lastPollAt);
        expect(deadline.lastPollAt).toBeLessThan(deadline.at);
      }),
    );
  });
});
