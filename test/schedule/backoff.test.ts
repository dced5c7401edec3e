import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Schedule } from '../../src/polling/index.js';
import { type ExponentialBackoffOptions, exponentialBackoff, withJitter } from '../../src/schedule/backoff.js';

/** The first delays of a job that is polled as the schedule says, from a time since enqueueing on. */
function delays(schedule: Schedule, count: number, elapsedMs = 0): number[] {
  const series: number[] = [];
  for (let elapsed = elapsedMs; series.length < count; elapsed += series.at(-1) as number) {
    series.push(schedule(elapsed));
  }
  return series;
}

const anyOptions: fc.Arbitrary<ExponentialBackoffOptions> = fc
  .record({
    initialDelayMs: fc.integer({ min: 1, max: 60_000 }),
    factor: fc.double({ min: 1, max: 10, noNaN: true }),
    span: fc.double({ min: 1, max: 1_000, noNaN: true }),
  })
  .map(({ initialDelayMs, factor, span }) => ({ initialDelayMs, factor, maxDelayMs: initialDelayMs * span }));
const anyElapsed = fc.integer({ min: -86_400_000, max: 24 * 86_400_000 });
const anyRandom = fc.double({ min: 0, max: 1, noNaN: true });

describe('exponential backoff', () => {
  it.each<[string, ExponentialBackoffOptions, number[]]>([
    [
      'grows by its factor up to the longest delay',
      { initialDelayMs: 1_000, factor: 1.5, maxDelayMs: 10_000 },
      [1_000, 1_500, 2_250, 3_375, 5_062.5, 7_593.75, 10_000, 10_000, 10_000],
    ],
    [
      'stays constant with the factor 1',
      { initialDelayMs: 5_000, factor: 1, maxDelayMs: 60_000 },
      [5_000, 5_000, 5_000, 5_000],
    ],
    [
      'doubles with the factor 2',
      { initialDelayMs: 1_000, factor: 2, maxDelayMs: 60_000 },
      [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000],
    ],
    [
      'stays constant where the longest delay is the first one',
      { initialDelayMs: 1_000, factor: 3, maxDelayMs: 1_000 },
      [1_000, 1_000, 1_000],
    ],
  ])('%s', (_behaviour, options, series) => {
    expect(delays(exponentialBackoff(options), series.length)).toEqual(series);
  });

  it('takes a time before the enqueueing (clocks differ) as the enqueueing', () => {
    expect(exponentialBackoff({ initialDelayMs: 1_000, factor: 2, maxDelayMs: 10_000 })(-5_000)).toBe(1_000);
  });

  it('is the series b, bf, bf², … up to its maximum, though it counts nothing', () => {
    fc.assert(
      fc.property(anyOptions, (options) => {
        const { initialDelayMs, factor, maxDelayMs } = options;
        delays(exponentialBackoff(options), 20).forEach((delay, n) => {
          const counted = Math.min(maxDelayMs, initialDelayMs * factor ** n);
          expect(Math.abs(delay - counted) / counted).toBeLessThan(1e-9);
        });
      }),
    );
  });

  it('goes on with the same series where another process takes over at any poll', () => {
    fc.assert(
      fc.property(anyOptions, fc.nat({ max: 19 }), (options, polls) => {
        const series = delays(exponentialBackoff(options), 20);
        const elapsed = series.slice(0, polls).reduce((sum, delay) => sum + delay, 0);
        expect(delays(exponentialBackoff(options), 20 - polls, elapsed)).toEqual(series.slice(polls));
      }),
    );
  });

  it('never gives a delay beyond its bounds, nor a shorter one later on', () => {
    fc.assert(
      fc.property(anyOptions, anyElapsed, anyElapsed, (options, one, other) => {
        const schedule = exponentialBackoff(options);
        const [earlier, later] = [schedule(Math.min(one, other)), schedule(Math.max(one, other))];
        expect(earlier).toBeGreaterThanOrEqual(options.initialDelayMs);
        expect(later).toBeLessThanOrEqual(options.maxDelayMs);
        expect(later).toBeGreaterThanOrEqual(earlier);
      }),
    );
  });

  it.each<[keyof ExponentialBackoffOptions, number]>([
    ['initialDelayMs', 0],
    ['initialDelayMs', 0.5],
    ['initialDelayMs', -1_000],
    ['initialDelayMs', Number.NaN],
    ['factor', 0.99],
    ['factor', 0],
    ['factor', Number.NaN],
    ['factor', Number.POSITIVE_INFINITY],
    ['maxDelayMs', 999],
    ['maxDelayMs', Number.NaN],
  ])('is refused with %s = %d, by name', (option, value) => {
    const options = { initialDelayMs: 1_000, factor: 1.5, maxDelayMs: 10_000, [option]: value };
    expect(() => exponentialBackoff(options)).toThrow(RangeError);
    expect(() => exponentialBackoff(options)).toThrow(option);
  });
});

describe('jitter', () => {
  it('only ever shortens a delay, by a tenth at the most', () => {
    fc.assert(
      fc.property(anyOptions, anyElapsed, anyRandom, (options, elapsed, random) => {
        const schedule = exponentialBackoff(options);
        const delay = withJitter(schedule, schedule, () => random)(elapsed);
        expect(delay).toBeLessThanOrEqual(schedule(elapsed));
        expect(delay).toBeGreaterThanOrEqual(0.9 * schedule(elapsed) - 1e-6);
        expect(delay).toBeLessThanOrEqual(options.maxDelayMs);
        expect(delay).toBeGreaterThanOrEqual(0.9 * options.initialDelayMs - 1e-6);
      }),
    );
  });

  it('is drawn anew for each delay', () => {
    const numbers = [0, 0.5, 1];
    const schedule = withJitter(
      () => 1_000,
      () => 1_000,
      () => numbers.shift() as number,
    );
    expect([schedule(0), schedule(0), schedule(0)]).toEqual([1_000, 950, 900]);
  });

  it('takes no more away from a long learned delay than from that of the backoff', () => {
    const schedule = withJitter(
      () => 100_000,
      () => 10_000,
      () => 1,
    );
    expect(schedule(0)).toBe(99_000);
  });

  it('takes jobs of one burst out of step by default', () => {
    const schedule = withJitter(() => 1_000);
    const drawn = new Set(Array.from({ length: 100 }, () => schedule(0)));
    expect(drawn.size).toBeGreaterThan(1);
    for (const delay of drawn) expect(delay > 899 && delay <= 1_000).toBe(true);
  });
});
