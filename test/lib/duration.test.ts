import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatDuration, MAX_DURATION_MS, parseDuration } from '../../src/lib/duration.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('parseDuration', () => {
  it.each([
    ['250ms', 250],
    ['10s', 10_000],
    ['5m', 5 * MINUTE],
    ['2h', 2 * HOUR],
    ['7d', 7 * DAY],
    ['1.5h', 90 * MINUTE],
    ['1500', 1_500],
    ['0', 0],
    ['0s', 0],
    [' 10s ', 10_000],
    ['24d', MAX_DURATION_MS],
    ['576h', MAX_DURATION_MS],
  ])('reads "%s" as %d ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each([
    '',
    ' ',
    's',
    '10 s',
    '10S',
    '10sec',
    '1h30m',
    '-1s',
    '+1s',
    '.5s',
    '5.s',
    '1,5s',
    '1e3',
    '0x10',
    'Infinity',
    'NaN',
    '٣s',
  ])('does not read "%s"', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it.each(['24.1d', '25d', String(MAX_DURATION_MS + 1), `${'9'.repeat(400)}d`])(
    'refuses "%s" as longer than 24 days',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  it('gives whole milliseconds that a timer can take, whatever the text', () => {
    const unit = fc.constantFrom('', 'ms', 's', 'm', 'h', 'd');
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), unit, (value, suffix) => {
        const milliseconds = parseDuration(`${value.toFixed(6)}${suffix}`) ?? 0;
        expect(Number.isInteger(milliseconds)).toBe(true);
        expect(milliseconds).toBeLessThan(2 ** 31);
      }),
    );
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0ms'],
    [850, '850ms'],
    [1_000, '1.0s'],
    [4_200, '4.2s'],
    [59_900, '59.9s'],
    [MINUTE, '1m00s'],
    [3 * MINUTE + 5_000, '3m05s'],
    [HOUR - 400, '1h00m'],
    [HOUR, '1h00m'],
    [2 * HOUR + 7 * MINUTE, '2h07m'],
    [DAY, '1d00h'],
    [3 * DAY + 4 * HOUR, '3d04h'],
  ])('writes %d ms as "%s"', (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });

  it.each([
    [999.6, '1.0s'],
    [59_960, '1m00s'],
  ])('rounds %d ms into the next unit: "%s"', (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });
});
