import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { classify, isAccountError, MAX_RETRY_AFTER_MS, retryAfter } from '../../src/cfw/errors.js';
import type { FailureKind } from '../../src/polling/index.js';

type Case = readonly [httpStatus: number, code: string, kind: FailureKind];

/** Every status with every code. */
const cases = (statuses: readonly number[], codes: readonly string[], kind: FailureKind): Case[] =>
  statuses.flatMap((status) => codes.map((code): Case => [status, code, kind]));

const gateway = (...numbers: string[]) => numbers.map((number) => `APIGW.${number}`);
const ETCD = Array.from({ length: 10 }, (_, digit) => `CFW.0080000${digit}`);

/** The rows of the vendor's errors, in the order of their documentation. */
const DOCUMENTED: readonly Case[] = [
  ...cases([400], ['CFW.00109004', 'CFW.00109003', 'CFW.00300001', 'CFW.00100001', 'CFW.00600003'], 'transient'),
  ...cases([400], ETCD, 'transient'),
  ...cases([400], ['CFW.00200005', 'CFW.00400008'], 'not-found'),
  ...cases([400], ['CFW.00200001', 'CFW.0020016', 'CFW.00800010', 'CFW.new'], 'rejected'),
  ...cases([400, 413, 414, 494], gateway('0201', '0602', '0607', '0104', '0105', '0106'), 'invalid'),
  ...cases([401], gateway('0301', '0303', '0305', '0311', '0307'), 'unauthorized'),
  ...cases([403], gateway('0302', '0304', '0306', '0401', '0402', '0404', '0801', '0802'), 'denied'),
  ...cases([403, 405], gateway('0501', '0502'), 'unauthorized'),
  ...cases([403, 405], gateway('0310'), 'transient'),
  ...cases([404], [...gateway('0101', '0103'), 'CFW.00200005', 'CFW.00100001'], 'not-found'),
  ...cases([429], gateway('0308'), 'throttled'),
  ...cases(
    [500, 502, 503, 504],
    gateway('0601', '0605', '0606', '0608', '0609', '0610', '0611', '0612', '0613', '0705', '0201'),
    'transient',
  ),
];

describe('a documented error', () => {
  it.each(DOCUMENTED)('%d %s is %s', (httpStatus, code, kind) => {
    expect(classify(httpStatus, code)).toBe(kind);
  });

  it.each(DOCUMENTED.filter(([, code]) => code.startsWith('APIGW.')))(
    '%d %s is %s as APIG too',
    (status, code, kind) => {
      expect(classify(status, code.replace('APIGW.', 'APIG.'))).toBe(kind);
    },
  );
});

describe('an error that is not documented', () => {
  // With a code that nobody knows, and with none: gateways in front answer with HTML or nothing at all.
  it.each<readonly [number, FailureKind]>([
    [301, 'transient'],
    [302, 'transient'],
    [304, 'transient'],
    [307, 'transient'],
    [308, 'transient'],
    [400, 'rejected'],
    [401, 'unauthorized'],
    [402, 'rejected'],
    [403, 'denied'],
    [404, 'not-found'],
    [405, 'rejected'],
    [408, 'transient'],
    [409, 'rejected'],
    [413, 'invalid'],
    [414, 'invalid'],
    [418, 'rejected'],
    [425, 'transient'],
    [429, 'throttled'],
    [431, 'invalid'],
    [451, 'rejected'],
    [494, 'invalid'],
    [499, 'rejected'],
  ])('of status %d is %s', (httpStatus, kind) => {
    for (const code of [undefined, '', 'X.1', 'APIGW.9999', 'constructor']) {
      expect(classify(httpStatus, code)).toBe(kind);
    }
  });

  it('of any status from 500 on is transient, whatever its code', () => {
    const codes = fc.oneof(fc.constant(undefined), fc.string(), fc.constantFrom(...DOCUMENTED.map(([, code]) => code)));
    fc.assert(
      fc.property(fc.integer({ min: 500, max: 599 }), codes, (httpStatus, code) => {
        expect(classify(httpStatus, code)).toBe('transient');
      }),
    );
  });
});

describe('an error with status 200', () => {
  it.each<readonly [string | undefined, FailureKind]>([
    ['CFW.00100001', 'transient'],
    ['CFW.00800003', 'transient'],
    ['CFW.00200005', 'not-found'],
    ['CFW.00200001', 'rejected'],
    ['APIGW.0501', 'unauthorized'],
    ['APIG.0502', 'unauthorized'],
    ['X.1', 'transient'],
    [undefined, 'transient'],
  ])('is told by its code alone: %s is %s', (code, kind) => {
    expect(classify(200, code)).toBe(kind);
  });

  it('ends no job at once, whatever its code', () => {
    for (const [, code] of DOCUMENTED) expect(classify(200, code)).not.toBe('invalid');
  });
});

describe('trouble with the whole account', () => {
  it.each(['APIGW.0501', 'APIGW.0502', 'APIG.0501', 'APIG.0502'])('is %s', (code) => {
    expect(isAccountError(code)).toBe(true);
  });

  // 0310 is about one project only.
  it.each(['APIGW.0310', 'APIGW.0301', 'APIGW.05011', 'XAPIGW.0501', 'HTTP_403', ''])('is not "%s"', (code) => {
    expect(isAccountError(code)).toBe(false);
  });
});

describe('the wait that the other side asks for', () => {
  const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
  const inSeconds = (seconds: number) => new Date(NOW + seconds * 1_000).toUTCString();
  const quota = (window: string) =>
    `The throttling threshold has been reached: policy user over ratelimit,limit:200,time:${window}`;

  it.each<readonly [string, number]>([
    ['0', 0],
    ['1', 1_000],
    ['120', 120_000],
    [' 7 ', 7_000],
    [inSeconds(30), 30_000],
    [inSeconds(0), 0],
    [inSeconds(-3_600), 0],
    ['Wed, 21 Oct 2015 07:28:00 GMT', 0],
  ])('is that of Retry-After: %s', (header, waitMs) => {
    expect(retryAfter(header, '', NOW)).toBe(waitMs);
  });

  it('goes by the real time where none is given', () => {
    const waitMs = retryAfter(new Date(Date.now() + 300_000).toUTCString(), '');
    expect(waitMs).toBeGreaterThan(200_000);
    expect(waitMs).toBeLessThanOrEqual(300_000);
  });

  it.each<readonly [string, number]>([
    ['1 second', 1_000],
    ['60 second', 60_000],
    ['1 minute', 60_000],
    ['5 minute', 300_000],
  ])('is the window of the message: %s', (window, waitMs) => {
    expect(retryAfter(undefined, quota(window), NOW)).toBe(waitMs);
  });

  it('is that of the header where the message has a window too', () => {
    expect(retryAfter('2', quota('5 minute'), NOW)).toBe(2_000);
    expect(retryAfter(inSeconds(2), quota('5 minute'), NOW)).toBe(2_000);
  });

  it.each(['soon', '', '5s', '1e3', '0x10', 'Infinity', '-5', '1.5', 'soon 5'])(
    'is not read from Retry-After: "%s", which is neither seconds nor a date',
    (header) => {
      expect(retryAfter(header, '', NOW)).toBeUndefined();
      expect(retryAfter(header, quota('1 minute'), NOW)).toBe(60_000);
    },
  );

  it.each(['', 'slow down', 'time: soon', 'time:5 parsec'])('is unknown where the message is "%s"', (message) => {
    expect(retryAfter(undefined, message, NOW)).toBeUndefined();
  });

  it.each<readonly [string, string | undefined, string]>([
    ['a day', '86400', ''],
    ['more than a number holds', '9'.repeat(400), ''],
    ['the end of time', 'Fri, 31 Dec 9999 23:59:59 GMT', ''],
    ['a window of a day', undefined, quota('24 hour')],
    ['a window of more than a number holds', undefined, quota(`${'9'.repeat(400)} second`)],
  ])('is bounded where it is %s', (_what, header, message) => {
    expect(retryAfter(header, message, NOW)).toBe(MAX_RETRY_AFTER_MS);
  });

  it('covers the longest window of the gateway, and fits a timer', () => {
    expect(MAX_RETRY_AFTER_MS).toBeGreaterThanOrEqual(300_000);
    expect(MAX_RETRY_AFTER_MS).toBeLessThan(2 ** 31);
  });
});
