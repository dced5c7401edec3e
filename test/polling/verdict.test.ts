import { describe, expect, it } from '@jest/globals';
import type { FailedCall, FailureKind, JobAnswer } from '../../src/polling/answer.js';
import { NEW_HISTORY, type PollHistory, remember } from '../../src/polling/history.js';
import { decide, timedOut } from '../../src/polling/verdict.js';

const T0 = 1_700_000_000_000;

const job = (status: string, times: Partial<JobAnswer> = {}): JobAnswer => ({
  kind: 'job',
  status,
  beginTime: null,
  endTime: null,
  ...times,
});

const failure = (kind: FailureKind, more: Partial<FailedCall> = {}): FailedCall => ({
  kind,
  code: 'CODE',
  httpStatus: 400,
  message: 'the message',
  ...more,
});

/** The failures that say nothing about the job. */
const SAYS_NOTHING: readonly FailureKind[] = ['transient', 'throttled', 'unauthorized', 'withheld'];

/** A poll and its answer. */
type Poll = readonly [secondsAfterT0: number, answer: JobAnswer | FailedCall];

/** What polls leave behind. */
function historyOf(...polls: Poll[]): PollHistory {
  return polls.reduce((history, [seconds, answer]) => remember(history, answer, T0 + seconds * 1_000), NEW_HISTORY);
}

/** What the answer of the last poll means, at the time of that poll. */
function verdictOf(...polls: Poll[]) {
  const [seconds, answer] = polls.at(-1) as Poll;
  return decide(answer, historyOf(...polls), T0 + seconds * 1_000);
}

describe('an answer about the job', () => {
  it('completes it with Success', () => {
    expect(verdictOf([0, job('Success')])).toEqual({ kind: 'completed' });
  });

  it('fails it with Failed', () => {
    expect(verdictOf([0, job('Failed')])).toMatchObject({ kind: 'failed', reason: 'JOB_FAILED' });
  });

  it.each(['Running', 'Pending', 'success', 'SUCCESS', 'failed', 'Fail', 'Completed', ' Success', 'constructor'])(
    'ends nothing with %s, for however long',
    (status) => {
      expect(verdictOf([0, job(status)], [86_400, job(status)])).toEqual({ kind: 'pending' });
    },
  );
});

describe('a failed call', () => {
  it.each(SAYS_NOTHING)('ends nothing if %s, for however long', (kind) => {
    expect(verdictOf([0, failure(kind)], [86_400, failure(kind)])).toEqual({ kind: 'pending' });
  });

  it.each(SAYS_NOTHING)('tells how long to wait, if %s and the other side named a wait', (kind) => {
    expect(verdictOf([0, failure(kind, { retryAfterMs: 30_000 })])).toEqual({ kind: 'pending', waitMs: 30_000 });
  });

  it.each<[FailureKind, string, number | undefined]>([
    ['transient', 'only as its schedule says', undefined],
    ['throttled', 'only as its schedule says', undefined],
    ['withheld', 'only as its schedule says', undefined],
    ['unauthorized', 'at once, since there is a new credential', 0],
  ])('that is %s and names a wait of 0 lets the job be asked for again %s', (kind, _when, waitMs) => {
    expect(verdictOf([0, failure(kind, { retryAfterMs: 0 })])).toEqual({ kind: 'pending', waitMs });
  });

  it('ends the job at once where the request itself is wrong', () => {
    const verdict = verdictOf([0, failure('invalid')]);
    expect(verdict).toMatchObject({ kind: 'failed', reason: 'INVALID_REQUEST' });
    expect(verdict).toHaveProperty('message', expect.stringContaining('the message'));
  });

  describe.each<[FailureKind, number, string]>([
    ['not-found', 120_000, 'JOB_NOT_FOUND'],
    ['rejected', 120_000, 'INVALID_REQUEST'],
    ['denied', 300_000, 'ACCESS_DENIED'],
  ])('of the kind %s', (kind, patienceMs, reason) => {
    const patience = patienceMs / 1_000;

    it('is borne at first', () => {
      expect(verdictOf([0, failure(kind)])).toEqual({ kind: 'pending' });
    });

    it(`is borne for ${patienceMs - 1} ms, and ends the job as ${reason} after ${patienceMs} ms`, () => {
      const answer = failure(kind);
      const history = historyOf([0, answer], [100, answer]);
      expect(decide(answer, history, T0 + patienceMs - 1)).toEqual({ kind: 'pending' });
      expect(decide(answer, history, T0 + patienceMs)).toMatchObject({ kind: 'failed', reason });
    });

    it('does not end the job where a first answer of that kind comes late', () => {
      expect(verdictOf([0, job('Running')], [patience * 2, failure(kind)])).toMatchObject({ kind: 'pending' });
    });

    it.each(SAYS_NOTHING)('counts on through calls that are %s and tell nothing of the job', (other) => {
      expect(verdictOf([0, failure(kind)], [10, failure(other)], [patience, failure(kind)])).toMatchObject({
        reason,
      });
    });

    it.each(SAYS_NOTHING)('ends nothing while calls are %s', (other) => {
      expect(verdictOf([0, failure(kind)], [patience, failure(other)])).toMatchObject({ kind: 'pending' });
    });

    it.each<[string, JobAnswer | FailedCall]>(
      [
        ['a status', job('Running')],
        ['not-found', failure('not-found')],
        ['denied', failure('denied')],
        ['rejected', failure('rejected')],
      ].filter(([name]) => name !== kind) as [string, JobAnswer | FailedCall][],
    )('counts anew after %s', (_name, other) => {
      const before: Poll[] = [
        [0, failure(kind)],
        [10, other],
        [20, failure(kind)],
      ];
      expect(verdictOf(...before, [20 + patience - 1, failure(kind)])).toMatchObject({ kind: 'pending' });
      expect(verdictOf(...before, [20 + patience, failure(kind)])).toMatchObject({ reason });
    });
  });
});

describe('the history', () => {
  it('counts polls and keeps the time of the last one', () => {
    expect(historyOf([0, job('Running')], [5, failure('transient')], [10, job('Running')])).toMatchObject({
      polls: 3,
      lastPollAt: T0 + 10_000,
    });
  });

  it('counts no call and no error where the call was withheld, but keeps why', () => {
    const before = historyOf([0, job('Running')], [5, failure('transient')]);
    const answer = failure('withheld', { code: 'IAM.0062', httpStatus: 401, message: 'locked', requestId: 'r1' });
    expect(remember(before, answer, T0 + 10_000)).toEqual({
      ...before,
      lastPollAt: T0 + 10_000,
      lastError: { code: 'IAM.0062', httpStatus: 401, message: 'locked', requestId: 'r1' },
    });
  });

  it('knows since when there has been nothing but undocumented statuses', () => {
    const since = (...polls: Poll[]) => historyOf(...polls).unknownStatusSince;
    expect(since([0, job('Running')], [5, job('Pending')], [10, job('Queued')])).toBe(T0 + 5_000);
    expect(since([0, job('Pending')], [5, failure('transient')])).toBe(T0);
    for (const status of ['Running', 'Success', 'Failed'])
      expect(since([0, job('Pending')], [5, job(status)])).toBeNull();
  });

  it('keeps the last status through failed calls, and the last error through answers', () => {
    const history = historyOf(
      [0, failure('throttled', { code: 'APIGW.0308', httpStatus: 429, message: 'slow down', retryAfterMs: 1_000 })],
      [5, job('Running')],
      [10, failure('transient', { code: 'ECONNRESET', httpStatus: null, message: 'reset' })],
      [15, job('Pending')],
    );
    expect(history).toMatchObject({
      cfwStatus: 'Pending',
      lastError: { code: 'ECONNRESET', httpStatus: null, message: 'reset', requestId: null },
      errorCounts: { 'APIGW.0308': 1, ECONNRESET: 1 },
    });
  });

  it('keeps times that were told once, and takes newer ones', () => {
    const [begin, later] = ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:05.000Z'];
    const started = remember(NEW_HISTORY, job('Running', { beginTime: begin }), T0);
    expect(remember(started, job('Running'), T0)).toMatchObject({ beginTime: begin, endTime: null });
    expect(remember(started, job('Success', { beginTime: later, endTime: later }), T0)).toMatchObject({
      beginTime: later,
      endTime: later,
    });
    expect(remember(started, failure('transient'), T0)).toMatchObject({ beginTime: begin });
  });

  it.each(['APIGW.0308', '__proto__', 'constructor', 'toString', 'hasOwnProperty', ''])(
    'counts errors with the code "%s"',
    (code) => {
      const answer = failure('transient', { code });
      const { errorCounts } = historyOf([0, answer], [1, failure('transient')], [2, answer], [3, answer]);
      expect(Object.entries(errorCounts).sort()).toEqual([['CODE', 1] as [string, number], [code, 3]].sort());
      // It is stored with the job as JSON.
      expect(Object.entries(JSON.parse(JSON.stringify(errorCounts)))).toEqual(Object.entries(errorCounts));
    },
  );

  it('counts 32 codes at the most, but goes on counting those', () => {
    const codes = Array.from({ length: 40 }, (_, n) => `E${n}`);
    let history = NEW_HISTORY;
    for (const code of [...codes, ...codes]) history = remember(history, failure('transient', { code }), T0);
    expect(Object.keys(history.errorCounts)).toEqual(codes.slice(0, 32));
    expect(new Set(Object.values(history.errorCounts))).toEqual(new Set([2]));
    expect(history.lastError?.code).toBe('E39');
    expect(history.polls).toBe(80);
  });

  it('cuts texts of the other side, so that its size is bounded', () => {
    const long = 'x'.repeat(100_000);
    let history = remember(NEW_HISTORY, job(long), T0);
    for (let n = 0; n < 100; n += 1) {
      history = remember(history, failure('transient', { code: `${n}${long}`, message: long, requestId: long }), T0);
    }
    expect(JSON.stringify(history).length).toBeLessThan(5_000);
    expect(history.cfwStatus).toHaveLength(500);
    expect(history.lastError?.message).toHaveLength(500);
  });

  it('leaves the one before it as it was', () => {
    const before = remember(NEW_HISTORY, failure('not-found'), T0);
    const copy = structuredClone(before);
    remember(before, failure('not-found'), T0 + 1);
    remember(before, job('Success'), T0 + 1);
    expect(before).toEqual(copy);
    expect(NEW_HISTORY).toMatchObject({ polls: 0, errorCounts: {} });
  });
});

describe('a job that timed out', () => {
  it.each<[string, PollHistory, string]>([
    ['the last status', historyOf([0, job('Running')], [1, failure('transient')]), 'CFW last said Running'],
    ['the last error, where there was never a status', historyOf([0, failure('throttled')]), 'failed with CODE'],
    ['that nothing was ever answered', NEW_HISTORY, 'CFW never answered'],
  ])('tells %s', (_what, history, text) => {
    const verdict = timedOut(history, 1_800_000);
    expect(verdict).toMatchObject({ kind: 'failed', reason: 'TIMED_OUT' });
    expect(verdict).toHaveProperty('message', expect.stringContaining(text));
    expect(verdict).toHaveProperty('message', expect.stringContaining('1800 s'));
  });
});
