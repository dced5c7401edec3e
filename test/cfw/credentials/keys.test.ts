import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { CredentialError, type SourceEvent } from '../../../src/cfw/credentials/credential.js';
import { type KeyProvider, type KeySource, type PlainKey, renewedKey } from '../../../src/cfw/credentials/keys.js';
import type { Lease } from '../../../src/cfw/credentials/renewing.js';

const SECOND = 1_000;
const HOUR = 3_600_000;

let ahead = 0;
const advance = (milliseconds: number) => {
  ahead += milliseconds;
};
beforeEach(() => {
  ahead = 0;
  // A clock that only the tests move.
  jest.spyOn(performance, 'now').mockImplementation(() => 1_000_000 + ahead);
});
afterEach(() => {
  jest.restoreAllMocks();
});

const keyOf = (n: number): PlainKey => ({ accessKey: `AK${n}`, secretKey: `SK${n}`, securityToken: `ST${n}` });
const away = () => new CredentialError({ code: 'ECONNREFUSED', httpStatus: null, message: 'away', refused: false });

/** A source that answers as it is told to, call by call; it gives a key of its own for each call by default. */
class Source implements KeySource {
  readonly maxPauseMs = 5_000;
  lifeMs = HOUR;
  calls = 0;
  answer: (call: number) => Promise<Lease<PlainKey>> = async (call) => ({ value: keyOf(call), lifeMs: this.lifeMs });
  secrets = () => ['the-secret-of-the-source'];
  ask() {
    this.calls += 1;
    return this.answer(this.calls);
  }
}

/** Lets everything happen that waits for nothing but promises. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
}

let source: Source;
let keys: KeyProvider;
let seen: SourceEvent[];
beforeEach(() => {
  source = new Source();
  seen = [];
  keys = renewedKey(source, (event) => seen.push(event));
});

const accessKey = async () => (await keys.get()).accessKey;

describe('a temporary key', () => {
  it('is asked for once, however many calls wait for it', async () => {
    const all = await Promise.all(Array.from({ length: 1_000 }, accessKey));
    expect([new Set(all).size, source.calls]).toEqual([1, 1]);
  });

  it.each([
    ['40 % of its life is left', 20 * SECOND, 12 * SECOND],
    ['40 minutes are left', 24 * HOUR, 24 * HOUR - 2_400 * SECOND],
  ])('is renewed when %s, and no call waits for that', async (_when, lifeMs, renewAt) => {
    source.lifeMs = lifeMs;
    await accessKey();
    advance(renewAt - 1);
    await accessKey();
    expect(source.calls).toBe(1);
    advance(1);
    let release: (lease: Lease<PlainKey>) => void = () => {};
    source.answer = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    for (let n = 0; n < 100; n += 1) expect(keys.get()).toEqual(keyOf(1));
    expect(source.calls).toBe(2);
    release({ value: keyOf(2), lifeMs });
    await settle();
    expect(keys.get()).toEqual(keyOf(2));
    expect(seen.map((event) => event.outcome === 'issued' && event.isRenewal)).toEqual([false, true]);
  });

  it('stays in use until its end while the source is away, which is asked at most once a second', async () => {
    source.lifeMs = 20 * SECOND;
    await accessKey();
    source.answer = async () => {
      throw away();
    };
    const before = source.calls;
    for (let ms = 0; ms < 19_900; ms += 100) {
      expect(keys.get()).toEqual(keyOf(1));
      await settle();
      advance(100);
    }
    // From 12 s on: at 12, 13, 15 and 19 s.
    expect(source.calls - before).toBe(4);
    advance(SECOND);
    await expect(accessKey()).rejects.toMatchObject({ code: 'ECONNREFUSED', refused: false });
    expect(seen.filter(({ outcome }) => outcome === 'unreachable')).toHaveLength(4);
  });

  it('is there again soon after the source is back', async () => {
    const { answer } = source;
    source.answer = async () => {
      throw away();
    };
    for (let second = 0; second < 60; second += 1) {
      await accessKey().catch(() => {});
      advance(SECOND);
    }
    source.answer = answer;
    advance(5 * SECOND);
    expect(await accessKey()).toMatch(/^AK/);
  });

  it('that a source gives over and over is asked for once a second at most', async () => {
    // A metadata service keeps its key until shortly before the end.
    let left = 30 * SECOND;
    source.answer = async () => ({ value: keyOf(1), lifeMs: left });
    for (; left > 100; left -= 100) {
      await accessKey();
      await settle();
      advance(100);
    }
    expect(source.calls).toBeLessThan(15);
    expect(seen).toHaveLength(1);
  });
});

describe('a temporary key that CFW refuses', () => {
  it('is renewed once; another one that is refused is left to the breaker', async () => {
    const first = await accessKey();
    for (let n = 0; n < 100; n += 1) expect(keys.refused(first)).toBe(true);
    const [second] = await Promise.all(Array.from({ length: 100 }, accessKey));
    expect([second, source.calls]).toEqual(['AK2', 2]);
    expect(keys.refused(second)).toBe(false);
    // The probe brings a third one.
    expect(await accessKey()).toBe('AK3');
  });

  it('is no refusal if it has just ended', async () => {
    source.lifeMs = 4 * SECOND;
    expect(keys.refused(await accessKey())).toBe(true);
    const second = await accessKey();
    advance(3.9 * SECOND);
    expect(keys.refused(second)).toBe(true);
  });
});

describe('a source that refuses', () => {
  it('is asked after the pauses of the breaker only, however many calls wait', async () => {
    source.answer = async () => {
      throw new CredentialError({
        code: 'X',
        httpStatus: 403,
        message: 'no',
        refused: true,
        pausesMs: [10 * SECOND, 20 * SECOND],
      });
    };
    for (let second = 0; second < 60; second += 1) {
      await expect(accessKey()).rejects.toMatchObject({ refused: true });
      advance(SECOND);
    }
    // At 0, 9, 28 and 47 s.
    expect(source.calls).toBe(4);
  });

  it('shows no secret: those of the source and of both keys in use are known', async () => {
    await accessKey();
    advance(0.7 * HOUR);
    await accessKey();
    await settle();
    const texts = ['the-secret-of-the-source', 'AK2', 'SK2', 'ST2', 'AK1', 'SK1', 'ST1'];
    expect(keys.secrets()).toEqual(texts);
  });
});
