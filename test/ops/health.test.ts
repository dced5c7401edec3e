import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { CredentialState } from '../../src/cfw/index.js';
import { cfwCheck, createReadiness, credentialsCheck, type HealthCheck, queueCheck } from '../../src/ops/health.js';
import type { FailedCall, JobAnswer } from '../../src/polling/index.js';

beforeEach(() => {
  jest.useFakeTimers({ now: Date.UTC(2026, 0, 2) });
});
afterEach(() => {
  jest.useRealTimers();
});

const RUNNING: JobAnswer = { kind: 'job', status: 'Running', beginTime: null, endTime: null };
const failed = (kind: FailedCall['kind']): FailedCall => ({
  kind,
  code: 'ECONNREFUSED',
  httpStatus: null,
  message: 'no',
});

describe('readiness', () => {
  it('is lost by a required check only, names each, tells since when, and comes back by itself', async () => {
    let error: string | null = null;
    const one: HealthCheck = { required: true, look: () => ({ error }) };
    const other: HealthCheck = { required: false, look: async () => ({ error: 'is always so' }) };
    const readiness = createReadiness({ one, other });
    const first = await readiness();
    expect(first).toMatchObject({
      ready: true,
      checks: {
        one: { ok: true, required: true, error: null, lastError: null },
        other: { ok: false, required: false },
      },
    });
    jest.advanceTimersByTime(1_000);
    expect((await readiness()).checks.one?.since).toBe(first.checks.one?.since);
    error = 'broke';
    const second = await readiness();
    expect(second.ready).toBe(false);
    expect(second.checks.one).toEqual({
      ok: false,
      required: true,
      since: '2026-01-02T00:00:01.000Z',
      error: 'broke',
      lastError: { error: 'broke', at: '2026-01-02T00:00:01.000Z' },
    });
    jest.advanceTimersByTime(1_000);
    error = null;
    expect((await readiness()).checks.one).toEqual({
      ok: true,
      required: true,
      since: '2026-01-02T00:00:02.000Z',
      error: null,
      lastError: { error: 'broke', at: '2026-01-02T00:00:01.000Z' },
    });
  });

  it('has credentials as a reason once they are refused, since when they were', () => {
    let state: CredentialState = { state: 'unproven', since: 1 };
    const { look } = credentialsCheck(() => state);
    expect(look()).toEqual({ error: null, since: 1 });
    const refusal = { code: 'APIGW.0301', httpStatus: 401, message: 'Incorrect' };
    state = { state: 'refused', since: 2, refusal, probeAt: 3 };
    expect(look()).toEqual({ error: 'APIGW.0301: Incorrect', since: 2 });
  });

  it('tells that CFW is away after three calls in a row without an answer, and forgets it with the first answer', () => {
    const { check, answered } = cfwCheck();
    const error = async () => (await check.look()).error;
    answered(failed('transient'));
    answered(failed('transient'));
    answered(RUNNING);
    answered(failed('transient'));
    answered(failed('withheld'));
    answered(failed('transient'));
    expect(check.required).toBe(false);
    return (async () => {
      expect(await error()).toBeNull();
      answered(failed('transient'));
      expect(await error()).toBe('ECONNREFUSED: no');
      answered(failed('not-found'));
      expect(await error()).toBeNull();
    })();
  });
});

describe('a worker that takes no jobs though they are due', () => {
  /** As a worker that begins anew every 10 s tells it. */
  const stuckWorker = () => {
    const begunAt = Date.now();
    return () => ({ overdueMs: Date.now() - begunAt, stuckMs: (Date.now() - begunAt) % 10_000 });
  };

  it('makes the sidecar unready after a minute, however often it begins anew in between', async () => {
    const { check } = queueCheck(stuckWorker());
    for (let s = 0; s < 59; s += 1) {
      expect([s, (await check.look()).error]).toEqual([s, null]);
      jest.advanceTimersByTime(1_000);
    }
    jest.advanceTimersByTime(2_000);
    expect(await check.look()).toEqual({
      error: 'jobs have been due for 1m01s and may be taken, but no worker here takes them',
      since: Date.UTC(2026, 0, 2),
    });
  });

  it('is well again as soon as a job moves, or none is due', async () => {
    const worker = stuckWorker();
    let line = worker;
    const { check, moved } = queueCheck(() => line());
    const beStuck = async () => {
      for (let s = 0; s < 70; s += 1) {
        await check.look();
        jest.advanceTimersByTime(1_000);
      }
      return (await check.look()).error;
    };
    expect(await beStuck()).toMatch(/due/);
    moved();
    expect((await check.look()).error).toBeNull();
    expect(await beStuck()).toMatch(/due/);
    line = () => ({ overdueMs: 0, stuckMs: 0 });
    expect((await check.look()).error).toBeNull();
  });

  it('is not what a long line is, in which jobs move', async () => {
    const { check, moved } = queueCheck(() => ({ overdueMs: 600_000, stuckMs: 200 }));
    for (let s = 0; s < 120; s += 1) {
      expect((await check.look()).error).toBeNull();
      if (s % 3 === 0) moved();
      jest.advanceTimersByTime(1_000);
    }
  });
});
