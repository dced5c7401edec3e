import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { FailedCall, PollAnswer } from '../../src/polling/answer.js';
import { type Deadline, deadlineOf } from '../../src/polling/deadline.js';
import { NEW_HISTORY, type PollHistory } from '../../src/polling/history.js';
import { type PollLoopOptions, type PollLoopResult, pollUntilEnd } from '../../src/polling/loop.js';
import { exponentialBackoff } from '../../src/schedule/backoff.js';

const T0 = 1_700_000_000_000;
const MINUTE = 60_000;

const status = (text: string): PollAnswer => ({ kind: 'job', status: text, beginTime: null, endTime: null });
const RUNNING = status('Running');
const SUCCESS = status('Success');
const throttled = (retryAfterMs: number): FailedCall => ({
  kind: 'throttled',
  code: 'APIGW.0308',
  httpStatus: 429,
  message: 'too many calls',
  retryAfterMs,
});

/**
 * A run of the loop whose clock stands still but where a test moves it. `answers` come one after the other, the last one
 * again and again; what was polled, held and released is kept.
 */
class Run {
  now = T0;
  calls = 0;
  readonly held: number[] = [];
  released = 0;
  readonly #abort = new AbortController();
  readonly #options: PollLoopOptions;

  constructor(answers: readonly PollAnswer[], options: Partial<PollLoopOptions> = {}) {
    const left = [...answers];
    this.#options = {
      poll: async () => {
        this.calls += 1;
        return left.length > 1 ? (left.shift() as PollAnswer) : (left[0] as PollAnswer);
      },
      admit: async () => true,
      schedule: () => 1_000,
      deadline: deadlineOf(T0, 30 * MINUTE, 10_000),
      history: NEW_HISTORY,
      hold: () => false,
      release: () => {
        this.released += 1;
      },
      signal: this.#abort.signal,
      now: () => this.now,
      ...options,
    };
  }

  abort(): void {
    this.#abort.abort();
  }

  /** Polls until the end or a park. Holds are real waits, so tests that hold have delays of a few milliseconds. */
  start(options: Partial<PollLoopOptions> = {}): Promise<PollLoopResult> {
    const { hold, ...others } = { ...this.#options, ...options };
    return pollUntilEnd({
      ...others,
      hold: (delayMs, history) => {
        const answer = hold(delayMs, history);
        if (answer) this.held.push(delayMs);
        return answer;
      },
    });
  }

  /** A hold that takes its time on the clock of the test, too. */
  readonly holding = (delayMs: number): boolean => {
    this.now += delayMs;
    return true;
  };
}

describe('a job that has ended', () => {
  it('is completed by the first answer if that is Success', async () => {
    const run = new Run([SUCCESS]);
    expect(await run.start()).toMatchObject({
      kind: 'ended',
      verdict: { kind: 'completed' },
      history: { polls: 1, cfwStatus: 'Success', lastPollAt: T0 },
    });
    expect(run.calls).toBe(1);
    expect(run.held).toEqual([]);
  });

  it('has failed if the answer is Failed', async () => {
    expect(await new Run([status('Failed')]).start()).toMatchObject({
      kind: 'ended',
      verdict: { kind: 'failed', reason: 'JOB_FAILED' },
    });
  });
});

describe('a job that runs', () => {
  it('is parked until its next poll where it may not be held', async () => {
    const run = new Run([RUNNING]);
    expect(await run.start()).toMatchObject({ kind: 'park', until: T0 + 1_000, history: { polls: 1 } });
    expect(run.calls).toBe(1);
    expect(run.released).toBe(0);
  });

  it('is asked about again as the schedule says after a failed call, where the last call failed', async () => {
    const schedule = (_elapsedMs: number, failed?: boolean) => (failed ? 1_000 : 100_000);
    const failed: FailedCall = { kind: 'not-found', code: 'CFW.00200005', httpStatus: 404, message: 'no such job' };
    expect(await new Run([failed]).start({ schedule })).toMatchObject({ kind: 'park', until: T0 + 1_000 });
    expect(await new Run([RUNNING]).start({ schedule })).toMatchObject({ kind: 'park', until: T0 + 100_000 });
    const run = new Run([failed, RUNNING]);
    expect(await run.start({ schedule, hold: (delayMs) => delayMs < 5_000 && run.holding(delayMs) })).toMatchObject({
      kind: 'park',
      until: T0 + 101_000,
    });
  });

  it('waits as its schedule says for the time since its enqueueing, whenever the poll has ended', async () => {
    const run = new Run([RUNNING]);
    run.now = T0 + 4_000;
    const result = await run.start({
      poll: async () => {
        run.now += 2_000;
        return RUNNING;
      },
      schedule: (elapsedMs) => elapsedMs / 2,
    });
    expect(result).toMatchObject({ kind: 'park', until: T0 + 6_000 + 3_000, history: { lastPollAt: T0 + 4_000 } });
  });

  it('is held as long as that is allowed, polled again, and released once for each hold', async () => {
    const run = new Run([RUNNING, RUNNING, RUNNING, SUCCESS], { schedule: () => 2 });
    expect(await run.start({ hold: run.holding })).toMatchObject({
      kind: 'ended',
      verdict: { kind: 'completed' },
      history: { polls: 4, lastPollAt: T0 + 6 },
    });
    expect(run.calls).toBe(4);
    expect(run.held).toEqual([2, 2, 2]);
    expect(run.released).toBe(3);
  });

  it('is parked as soon as holding is no longer allowed', async () => {
    const run = new Run([RUNNING], { schedule: () => 2 });
    const result = await run.start({ hold: (delayMs) => run.held.length < 2 && run.holding(delayMs) });
    expect(result).toMatchObject({ kind: 'park', until: T0 + 6, history: { polls: 3 } });
    expect(run.released).toBe(2);
  });

  it('tells each answer together with what was known before and is known with it', async () => {
    const told: unknown[] = [];
    const run = new Run([throttled(1), SUCCESS], { schedule: () => 2 });
    await run.start({
      hold: run.holding,
      observe: (answer, { polls }, before) => told.push([answer.kind, polls, before.polls]),
    });
    expect(told).toEqual([
      ['throttled', 1, 0],
      ['job', 2, 1],
    ]);
  });

  it('goes on with the history of earlier runs', async () => {
    const history: PollHistory = { ...NEW_HISTORY, polls: 6, errorCounts: { 'APIGW.0308': 2 }, lastPollAt: T0 - 1_000 };
    const run = new Run([throttled(1), SUCCESS], { history, schedule: () => 2 });
    expect(await run.start({ hold: run.holding })).toMatchObject({
      history: { polls: 8, errorCounts: { 'APIGW.0308': 3 }, cfwStatus: 'Success', lastPollAt: T0 + 2 },
    });
    expect(run.calls).toBe(2);
  });

  it('that may not make its further call is parked as due since the end of its hold', async () => {
    const run = new Run([RUNNING]);
    const admit = async () => {
      run.now += 30;
      return false;
    };
    const schedule = () => 5;
    expect(await run.start({ hold: run.holding, admit, schedule })).toMatchObject({ kind: 'park', until: T0 + 5 });
  });

  it('is polled again at once without a hold where no delay is due', async () => {
    const run = new Run([RUNNING, RUNNING, SUCCESS], { schedule: () => 0 });
    expect(await run.start()).toMatchObject({ kind: 'ended', history: { polls: 3 } });
    expect(run.held).toEqual([]);
    expect(run.released).toBe(0);
  });
});

describe('a wait that the other side asks for', () => {
  it('is kept where it is longer than the delay', async () => {
    expect(await new Run([throttled(45_000)]).start()).toMatchObject({ kind: 'park', until: T0 + 45_000 });
  });

  it('does not shorten the delay', async () => {
    expect(await new Run([throttled(10)]).start()).toMatchObject({ kind: 'park', until: T0 + 1_000 });
  });

  it('does not put off the last poll', async () => {
    const deadline = deadlineOf(T0, MINUTE, 1_000);
    const result = await new Run([throttled(10 * MINUTE)], { deadline }).start();
    expect(result).toMatchObject({ kind: 'park', until: T0 + MINUTE - 1_000 });
  });

  it('may be none, so that the job is asked for again at once (with a new credential)', async () => {
    const refused: PollAnswer = { ...throttled(0), kind: 'unauthorized', httpStatus: 401 };
    const run = new Run([refused, RUNNING]);
    expect(await run.start()).toMatchObject({ kind: 'park', until: T0 + 1_000, history: { polls: 2 } });
    expect(run.held).toEqual([]);
  });

  it('of no length does not shorten the delay where calls are too many', async () => {
    expect(await new Run([throttled(0)]).start()).toMatchObject({ kind: 'park', until: T0 + 1_000 });
  });

  it('holds for the next poll only', async () => {
    const run = new Run([throttled(20), RUNNING, SUCCESS], { schedule: () => 2 });
    await run.start({ hold: run.holding });
    expect(run.held).toEqual([20, 2]);
  });
});

describe('an abort', () => {
  it('cuts a hold short and parks the job until its next poll', async () => {
    const run = new Run([RUNNING], { schedule: () => 10 * MINUTE });
    const result = await run.start({
      hold: () => {
        setImmediate(() => run.abort());
        return true;
      },
    });
    expect(result).toMatchObject({ kind: 'park', until: T0 + 10 * MINUTE, history: { polls: 1 } });
    expect(run.calls).toBe(1);
    expect(run.released).toBe(1);
  });

  it('keeps a job whose call was under way from being held', async () => {
    const run = new Run([]);
    const result = await run.start({
      poll: async () => {
        run.abort();
        return RUNNING;
      },
      hold: () => true,
    });
    expect(result).toMatchObject({ kind: 'park', until: T0 + 1_000, history: { polls: 1 } });
    expect(run.held).toEqual([]);
    expect(run.released).toBe(0);
  });

  it('loses no end of a job that comes in after it', async () => {
    const run = new Run([]);
    const result = await run.start({
      poll: async () => {
        run.abort();
        await new Promise(setImmediate);
        return SUCCESS;
      },
    });
    expect(result).toMatchObject({ kind: 'ended', verdict: { kind: 'completed' }, history: { polls: 1 } });
  });

  it('parks a job that waits for nothing but its deadline until then', async () => {
    const deadline = deadlineOf(T0, MINUTE, 1_000);
    const run = new Run([RUNNING], { deadline });
    run.now = deadline.lastPollAt;
    const result = await run.start({
      hold: () => {
        setImmediate(() => run.abort());
        return true;
      },
    });
    expect(result).toMatchObject({ kind: 'park', until: deadline.at });
  });
});

describe('the deadline', () => {
  const deadline = deadlineOf(T0, MINUTE, 1_000);
  const timedOut = { kind: 'ended', verdict: { kind: 'failed', reason: 'TIMED_OUT' } };

  it('is waited for after the last poll, without a further one', async () => {
    const run = new Run([RUNNING], { deadline });
    run.now = deadline.lastPollAt;
    const parked = await run.start();
    expect(parked).toMatchObject({ kind: 'park', until: deadline.at, history: { polls: 1 } });

    run.now = deadline.at;
    expect(await run.start({ history: parked.history })).toMatchObject({ ...timedOut, history: { polls: 1 } });
    expect(run.calls).toBe(1);
  });

  it('comes after a last poll where the job is held all the time', async () => {
    const run = new Run([RUNNING], { deadline: deadlineOf(T0, 50, 5), schedule: () => 30 });
    expect(await run.start({ hold: run.holding })).toMatchObject(timedOut);
    expect(run.held).toEqual([30, 15, 5]);
    expect(run.calls).toBe(3);
    expect(run.released).toBe(3);
    expect(run.now).toBe(T0 + 50);
  });

  it('does not keep the last poll from completing the job', async () => {
    const run = new Run([SUCCESS], { deadline });
    run.now = deadline.lastPollAt;
    expect(await run.start()).toMatchObject({ kind: 'ended', verdict: { kind: 'completed' } });
  });

  it.each<[string, PollAnswer, object]>([
    ['times the job out where it still runs', RUNNING, timedOut],
    ['times the job out where it cannot be asked about', throttled(MINUTE), timedOut],
    ['is forgotten where the job has ended', SUCCESS, { kind: 'ended', verdict: { kind: 'completed' } }],
  ])('that passed while no worker ran gives one poll, and %s', async (_then, answer, end) => {
    const run = new Run([answer], { deadline, history: { ...NEW_HISTORY, polls: 3, lastPollAt: T0 + 20_000 } });
    run.now = deadline.at + 60 * MINUTE;
    expect(await run.start()).toMatchObject({ ...end, history: { polls: 4 } });
    expect(run.calls).toBe(1);
  });

  it('that passed before the first poll gives one poll, too', async () => {
    const run = new Run([RUNNING], { deadline });
    run.now = deadline.at;
    expect(await run.start()).toMatchObject({ ...timedOut, history: { polls: 1 } });
  });

  it('that passes during a poll times the job out at once, unless the answer is its end', async () => {
    for (const [answer, end] of [
      [RUNNING, timedOut],
      [SUCCESS, { kind: 'ended', verdict: { kind: 'completed' } }],
    ] as const) {
      const run = new Run([]);
      const result = await run.start({
        deadline,
        poll: async () => {
          run.now = deadline.at + 1;
          return answer;
        },
      });
      expect(result).toMatchObject(end);
    }
  });
});

describe('a poll that throws, which is a mistake of ours', () => {
  it.each([new Error('a bug'), new TypeError('a bug'), new RangeError('a bug')])(
    'rejects with %s after one attempt',
    async (bug) => {
      const run = new Run([RUNNING]);
      let calls = 0;
      const polling = run.start({
        poll: async () => {
          calls += 1;
          throw bug;
        },
        hold: () => true,
      });
      await expect(polling).rejects.toBe(bug);
      expect(calls).toBe(1);
    },
  );

  it('rejects after a hold as well', async () => {
    const run = new Run([], { schedule: () => 1 });
    const polling = run.start({
      poll: async () => {
        if (run.held.length > 0) throw new Error('a bug');
        return RUNNING;
      },
      hold: run.holding,
    });
    await expect(polling).rejects.toThrow('a bug');
    expect(run.released).toBe(1);
  });
});

describe('a job that is parked after each poll, with its history as JSON', () => {
  interface World {
    readonly endsAfterMs: number;
    readonly timeoutMs: number;
    readonly callMs: number;
    readonly pollMs: number;
    readonly initialDelayMs: number;
    readonly factor: number;
  }

  /** Lives through a whole job in no time, each poll in a worker of its own. */
  async function live({ endsAfterMs, timeoutMs, callMs, pollMs, initialDelayMs, factor }: World) {
    const deadline: Deadline = deadlineOf(T0, timeoutMs, callMs);
    const run = new Run([], {
      deadline,
      schedule: exponentialBackoff({ initialDelayMs, factor, maxDelayMs: 10_000 }),
    });
    const polledAt: number[] = [];
    const poll = async () => {
      polledAt.push(run.now);
      const answer = run.now >= T0 + endsAfterMs ? SUCCESS : RUNNING;
      run.now += pollMs;
      return answer;
    };
    let history: PollHistory = NEW_HISTORY;
    // Two minutes in delays of a second or more.
    while (polledAt.length < 200) {
      const result = await run.start({ poll, history });
      if (result.kind === 'ended') return { deadline, polledAt, result, endedAt: run.now };
      expect(result.until).toBeGreaterThan(run.now);
      run.now = result.until;
      history = JSON.parse(JSON.stringify(result.history)) as PollHistory;
    }
    throw new Error('the job does not come to an end');
  }

  const anyWorld = fc
    .record({
      endsAfterMs: fc.integer({ min: 0, max: 180_000 }),
      timeoutMs: fc.integer({ min: 1, max: 120_000 }),
      callMs: fc.integer({ min: 1, max: 10_000 }),
      pollShare: fc.double({ min: 0, max: 1, noNaN: true }),
      initialDelayMs: fc.integer({ min: 1_000, max: 10_000 }),
      factor: fc.double({ min: 1, max: 3, noNaN: true }),
    })
    .map(({ pollShare, ...world }) => ({ ...world, pollMs: Math.floor(pollShare * world.callMs) }));

  it('is completed where it ends before its last poll, and timed out after its deadline where not', async () => {
    await fc.assert(
      fc.asyncProperty(anyWorld, async (world) => {
        const { deadline, polledAt, result, endedAt } = await live(world);
        if (T0 + world.endsAfterMs <= (polledAt.at(-1) as number)) {
          expect(result.verdict).toEqual({ kind: 'completed' });
        } else {
          expect(result.verdict).toMatchObject({ reason: 'TIMED_OUT' });
          expect(endedAt).toBeGreaterThanOrEqual(deadline.at);
          // The last poll was under way, or begun, when it was due.
          expect((polledAt.at(-1) as number) + world.pollMs).toBeGreaterThanOrEqual(deadline.lastPollAt);
        }
        expect(endedAt).toBeLessThanOrEqual(deadline.at + world.callMs);
        expect(result.history.polls).toBe(polledAt.length);
      }),
      { numRuns: 200 },
    );
  });
});
