import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  CredentialBreaker,
  type CredentialState,
  type Permit,
  type Refusal,
} from '../../../src/cfw/credentials/breaker.js';
import { GATEWAY_PAUSES_MS, PASSWORD_PAUSES_MS } from '../../../src/cfw/credentials/credential.js';

const MINUTE = 60_000;
const REFUSAL: Refusal = { code: 'APIGW.0301', httpStatus: 401, message: 'wrong' };
const DOWN: Refusal = { code: 'ECONNREFUSED', httpStatus: null, message: 'away' };
const NEVER = new AbortController().signal;
const PAUSES = [1_000, 2_000, 5_000];

type Entered = Awaited<ReturnType<CredentialBreaker['acquire']>>;

let changes: CredentialState[];
let breaker: CredentialBreaker;
beforeEach(() => {
  jest.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
  changes = [];
  breaker = new CredentialBreaker((state) => changes.push(state));
});
afterEach(() => {
  jest.useRealTimers();
});

const advance = (milliseconds: number) => jest.setSystemTime(Date.now() + milliseconds);

async function leave(): Promise<Permit> {
  const entered = await breaker.acquire(NEVER);
  if ('withheld' in entered) throw new Error(`withheld: ${entered.withheld.code}`);
  return entered.permit;
}

const withheld = async (): Promise<Refusal | undefined> => {
  const entered = await breaker.acquire(NEVER);
  if ('withheld' in entered) return entered.withheld;
  throw new Error('there is leave for a call');
};

/** Somebody who asks for leave, and what became of it as far as it is known. */
class Caller {
  entered: Entered | undefined;

  constructor() {
    void breaker.acquire(NEVER).then((entered) => {
      this.entered = entered;
    });
  }

  get state(): 'waiting' | 'called' | 'withheld' {
    if (this.entered === undefined) return 'waiting';
    return 'permit' in this.entered ? 'called' : 'withheld';
  }

  get permit(): Permit {
    if (this.entered === undefined || 'withheld' in this.entered) throw new Error(`there is no permit: ${this.state}`);
    return this.entered.permit;
  }
}

const callers = (count: number) => Array.from({ length: count }, () => new Caller());
const statesOf = (all: readonly Caller[]) => all.map(({ state }) => state);

/** Lets everything happen that waits for nothing but promises. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}

describe('a credential that is not proven', () => {
  it('is tried by one call, while all others wait', async () => {
    const all = callers(4);
    await settle();
    expect(statesOf(all)).toEqual(['called', 'waiting', 'waiting', 'waiting']);
    expect(breaker.state.state).toBe('unproven');
  });

  it('lets all pass once it was accepted', async () => {
    const [first, ...others] = callers(4) as [Caller, ...Caller[]];
    await settle();
    first.permit.accepted();
    await settle();
    expect(statesOf(others)).toEqual(['called', 'called', 'called']);
    expect(breaker.state.state).toBe('accepted');
  });

  it('withholds all who waited once it was refused', async () => {
    const [first, ...others] = callers(3) as [Caller, ...Caller[]];
    await settle();
    first.permit.refused(REFUSAL, PAUSES);
    await settle();
    expect(others.map(({ entered }) => entered)).toEqual([{ withheld: REFUSAL }, { withheld: REFUSAL }]);
  });

  it('withholds who waited with the reason why nothing was learnt, and lets the next one try', async () => {
    const [first, ...others] = callers(3) as [Caller, ...Caller[]];
    await settle();
    first.permit.unknown(DOWN);
    await settle();
    expect(others.map(({ entered }) => entered)).toEqual([{ withheld: DOWN }, { withheld: DOWN }]);
    const next = callers(2);
    await settle();
    expect(statesOf(next)).toEqual(['called', 'waiting']);
    expect(breaker.state.state).toBe('unproven');
  });
});

describe('a credential that was accepted', () => {
  it('lets any number of calls pass side by side, also while the other side is down', async () => {
    (await leave()).accepted();
    const permits = await Promise.all(Array.from({ length: 100 }, leave));
    for (const permit of permits) permit.unknown(DOWN);
    expect(breaker.state.state).toBe('accepted');
    await expect(leave()).resolves.toBeDefined();
  });

  it('is withheld from the first refusal on', async () => {
    (await leave()).accepted();
    (await leave()).refused(REFUSAL, PAUSES);
    expect(await withheld()).toEqual(REFUSAL);
  });
});

describe('a credential that was refused', () => {
  it('is withheld until its pause is over, then tried by one call that nobody waits for', async () => {
    (await leave()).refused(REFUSAL, PAUSES);
    advance(999);
    expect(await withheld()).toEqual(REFUSAL);
    advance(1);
    const all = callers(3);
    await settle();
    expect(statesOf(all)).toEqual(['called', 'withheld', 'withheld']);
    expect(breaker.state).toMatchObject({ state: 'refused', refusal: REFUSAL });
  });

  it('is tried after growing pauses, the last of which repeats', async () => {
    for (const pause of [1_000, 2_000, 5_000, 5_000, 5_000]) {
      (await leave()).refused(REFUSAL, PAUSES);
      expect(breaker.state).toMatchObject({ state: 'refused', probeAt: Date.now() + pause });
      advance(pause - 1);
      await withheld();
      advance(1);
    }
  });

  it('begins with the first pause again after it had been accepted', async () => {
    (await leave()).refused(REFUSAL, PAUSES);
    advance(1_000);
    (await leave()).refused(REFUSAL, PAUSES);
    advance(2_000);
    (await leave()).accepted();
    (await leave()).refused(REFUSAL, PAUSES);
    expect(breaker.state).toMatchObject({ probeAt: Date.now() + 1_000 });
  });

  it('may be tried at once by the next call where a probe taught nothing', async () => {
    (await leave()).refused(REFUSAL, PAUSES);
    advance(1_000);
    (await leave()).unknown(DOWN);
    (await leave()).accepted();
    expect(breaker.state.state).toBe('accepted');
  });

  it('tells since when, and why it was refused last', async () => {
    (await leave()).accepted();
    advance(MINUTE);
    const since = Date.now();
    (await leave()).refused(REFUSAL, PAUSES);
    advance(1_000);
    const later = { ...REFUSAL, code: 'APIGW.0307' };
    (await leave()).refused(later, PAUSES);
    expect(breaker.state).toMatchObject({ state: 'refused', since, refusal: later });
  });
});

describe('an answer that comes late', () => {
  it('refuses nothing that was accepted since', async () => {
    (await leave()).accepted();
    const late = await leave();
    (await leave()).refused(REFUSAL, PAUSES);
    advance(1_000);
    (await leave()).accepted();
    late.refused(REFUSAL, PAUSES);
    expect(breaker.state.state).toBe('accepted');
  });

  it('accepts nothing that was refused since', async () => {
    (await leave()).accepted();
    const late = await leave();
    (await leave()).refused(REFUSAL, PAUSES);
    late.accepted();
    expect(breaker.state.state).toBe('refused');
    await withheld();
  });

  it('counts as one refusal with all that were under way at the same time', async () => {
    (await leave()).accepted();
    const all = await Promise.all(Array.from({ length: 100 }, leave));
    for (const permit of all) permit.refused(REFUSAL, PAUSES);
    expect(breaker.state).toMatchObject({ probeAt: Date.now() + 1_000 });
  });

  it('of a trial before a reset neither proves nor refuses what is there now, and frees no second trial', async () => {
    const late = await leave();
    breaker.reset();
    const trial = await leave();
    late.refused(REFUSAL, PAUSES);
    expect(breaker.state.state).toBe('unproven');
    const waiting = new Caller();
    await settle();
    expect(waiting.state).toBe('waiting');
    late.accepted();
    expect(breaker.state.state).toBe('unproven');
    trial.accepted();
    await settle();
    expect(waiting.state).toBe('called');
  });
});

describe('a reset', () => {
  it('lets one probe through at once, of a credential that was refused', async () => {
    (await leave()).refused(REFUSAL, [MINUTE]);
    await withheld();
    breaker.reset();
    const all = callers(3);
    await settle();
    expect(statesOf(all)).toEqual(['called', 'withheld', 'withheld']);
    all[0]?.permit.accepted();
    expect(breaker.state.state).toBe('accepted');
  });

  it('keeps telling that the credential is refused until a probe was accepted', async () => {
    (await leave()).refused(REFUSAL, PAUSES);
    breaker.reset();
    expect(breaker.state).toMatchObject({ state: 'refused', refusal: REFUSAL });
  });

  it('begins with the first pause', async () => {
    (await leave()).refused(REFUSAL, PAUSES);
    advance(1_000);
    (await leave()).refused(REFUSAL, PAUSES);
    breaker.reset();
    (await leave()).refused(REFUSAL, PAUSES);
    expect(breaker.state).toMatchObject({ probeAt: Date.now() + 1_000 });
  });

  it('has an accepted credential tried by one call first', async () => {
    (await leave()).accepted();
    breaker.reset();
    const all = callers(2);
    await settle();
    expect(statesOf(all)).toEqual(['called', 'waiting']);
  });

  it('leaves nobody waiting for a trial that was under way', async () => {
    const [trial, waiting] = callers(2) as [Caller, Caller];
    await settle();
    breaker.reset();
    trial.permit.accepted();
    await settle();
    // What the old trial says is old: who waited for it makes the next one.
    expect(waiting.state).toBe('called');
    expect(breaker.state.state).toBe('unproven');
  });
});

describe('a change of state', () => {
  it('is told once', async () => {
    (await leave()).accepted();
    const all = await Promise.all(Array.from({ length: 10 }, leave));
    for (const permit of all) permit.refused(REFUSAL, PAUSES);
    advance(1_000);
    (await leave()).refused(REFUSAL, PAUSES);
    advance(2_000);
    (await leave()).accepted();
    for (const permit of await Promise.all(Array.from({ length: 10 }, leave))) permit.accepted();
    expect(changes.map(({ state }) => state)).toEqual(['refused', 'accepted']);
  });

  it('is not that a credential is accepted that nobody doubted', async () => {
    (await leave()).accepted();
    breaker.reset();
    (await leave()).accepted();
    expect(changes).toEqual([]);
  });
});

describe('another side that refuses everything', () => {
  /** When calls go out while a crowd asks for leave again and again. */
  async function callTimes(pausesMs: readonly number[], everyMs: number, enters: number): Promise<number[]> {
    const start = Date.now();
    const times: number[] = [];
    for (let n = 0; n < enters; n += 1) {
      const entered = await breaker.acquire(NEVER);
      if ('permit' in entered) {
        times.push(Date.now() - start);
        entered.permit.refused(REFUSAL, pausesMs);
      }
      advance(everyMs);
    }
    return times;
  }

  it('sees fewer than 5 calls of the thousand who ask in the first minute', async () => {
    expect((await callTimes(GATEWAY_PAUSES_MS, 60, 1_000)).length).toBeLessThan(5);
  });

  // More than 5 wrong signatures in a row lock a key for 5 minutes.
  it('never sees more than 5 wrong signatures before a lock would have run out', async () => {
    const times = await callTimes(GATEWAY_PAUSES_MS, 1_000, 7_200);
    expect(times.length).toBeGreaterThan(20);
    times.slice(5).forEach((at, index) => {
      expect(at - (times[index + 4] ?? 0)).toBeGreaterThanOrEqual(5 * MINUTE);
    });
  });

  // 3 wrong passwords within 15 minutes lock an account.
  it('sees at most 2 wrong passwords within any 15 minutes', async () => {
    const times = await callTimes(PASSWORD_PAUSES_MS, 1_000, 4 * 3_600);
    expect(times.length).toBeGreaterThan(10);
    times.slice(2).forEach((at, index) => {
      expect(at - (times[index] ?? 0)).toBeGreaterThan(15 * MINUTE);
    });
  });
});
