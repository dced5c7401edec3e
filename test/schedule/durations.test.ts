import { describe, expect, it } from '@jest/globals';
import { NEW_HISTORY, type PollHistory, remember } from '../../src/polling/history.js';
import { BIN_COUNT, binOf, binStart, observe, quantile } from '../../src/schedule/durations.js';

const T0 = Date.UTC(2026, 0, 1);
const at = (seconds: number) => new Date(T0 + seconds * 1_000).toISOString();

/** A job enqueued at T0, found running at 100 s and over at 110 s. */
const ended = (change: Partial<PollHistory> = {}): PollHistory => ({
  ...NEW_HISTORY,
  cfwStatus: 'Success',
  runningAt: T0 + 100_000,
  lastPollAt: T0 + 110_000,
  beginTime: at(0),
  endTime: at(104),
  ...change,
});
const learned = (history: PollHistory, random = 0.5) => observe(T0, history, () => random);
const endedIn = (seconds: number) => ({ kind: 'ended', bin: binOf(seconds * 1_000) });

describe('the bins', () => {
  it('follow one another without a gap, each 3 % wide, from 50 ms to 24 h', () => {
    expect(binStart(0)).toBe(50);
    expect(binStart(BIN_COUNT)).toBeGreaterThanOrEqual(86_400_000);
    for (let bin = 0; bin < BIN_COUNT; bin += 1) {
      expect(binStart(bin + 1) / binStart(bin)).toBeCloseTo(1.029, 3);
      expect(binOf((binStart(bin) + binStart(bin + 1)) / 2)).toBe(bin);
    }
  });

  it.each([-1, 0, 49, 100_000_000, Number.NaN, Number.POSITIVE_INFINITY])('have no place for %d ms', (ms) => {
    expect(binOf(ms)).toBeUndefined();
  });
});

describe('a job that is over', () => {
  it.each(['Success', 'Failed'])('teaches when it ended, as CFW tells it, with %s', (cfwStatus) => {
    expect(learned(ended({ cfwStatus }))).toEqual(endedIn(104));
  });

  it('teaches the time since it was enqueued, also where it began long before', () => {
    expect(learned(ended({ beginTime: at(-600) }))).toEqual(endedIn(104));
  });

  it("teaches how long it took where CFW's clock is off", () => {
    expect(learned(ended({ beginTime: at(3_600), endTime: at(3_705) }))).toEqual(endedIn(105));
  });

  it.each<[string, Partial<PollHistory>]>([
    ['are missing', { beginTime: null, endTime: null }],
    ['are years ago', { beginTime: '2022-01-05T08:15:01.000Z', endTime: '2022-01-05T08:15:15.000Z' }],
    ['are years apart', { beginTime: '2016-01-01T00:00:00.000Z', endTime: '2036-01-01T00:00:00.000Z' }],
    ['run backwards', { beginTime: at(200), endTime: at(150) }],
    ['contradict what we saw', { endTime: at(50) }],
  ])('teaches a time between the last two polls where the times %s', (_what, times) => {
    expect(learned(ended(times), 0)).toEqual(endedIn(100));
    expect(learned(ended(times), 0.5)).toEqual(endedIn(105));
    expect(learned(ended(times), 1)).toEqual(endedIn(110));
  });

  it('teaches how long it was seen running where it was given up', () => {
    expect(learned(ended({ cfwStatus: 'Running', endTime: null }))).toEqual({ kind: 'givenUp', bin: binOf(100_000) });
  });

  it('teaches nothing where it was never found running, or its times are absurd', () => {
    expect(learned(ended({ runningAt: null }))).toBeUndefined();
    expect(learned(NEW_HISTORY)).toBeUndefined();
    expect(observe(T0 + 200_000, ended())).toBeUndefined();
    expect(observe(T0 - 3 * 86_400_000, ended())).toBeUndefined();
  });

  it('was found running by any status but the two last ones, and not by failed calls', () => {
    const answer = (status: string) => ({ kind: 'job', status, beginTime: null, endTime: null }) as const;
    const polled = remember(remember(NEW_HISTORY, answer('Creating'), T0), answer('Running'), T0 + 5_000);
    expect(polled.runningAt).toBe(T0 + 5_000);
    const failed = { kind: 'transient', code: 'X', httpStatus: 500, message: '' } as const;
    expect(remember(polled, failed, T0 + 10_000).runningAt).toBe(T0 + 5_000);
    expect(remember(polled, answer('Success'), T0 + 15_000).runningAt).toBe(T0 + 5_000);
  });
});

describe('the quantile', () => {
  it('is the end of the bin within which the share lies', () => {
    const durations = { ended: new Array<number>(BIN_COUNT).fill(0), givenUp: [] };
    expect(quantile(durations, 0.5)).toBeUndefined();
    durations.ended[100] = 9;
    durations.ended[200] = 1;
    expect(quantile(durations, 0.5)).toBe(binStart(101));
    expect(quantile(durations, 0.9)).toBe(binStart(101));
    expect(quantile(durations, 0.95)).toBe(binStart(201));
  });
});
