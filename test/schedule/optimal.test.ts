import { describe, expect, it } from '@jest/globals';
import { DEFAULT_PRICE_MS } from '../../bench/crowd.js';
import { DISTRIBUTIONS, type Distribution } from '../../bench/distributions.js';
import { ARRIVALS, averagesOf, coldStart, compareWithOptimum, underQuota } from '../../bench/schedules.js';

// Simulated, and the same each time: what is drawn comes from a seed.
const [sharp, usual] = DISTRIBUTIONS as [Distribution, Distribution];

describe.each(DISTRIBUTIONS)('jobs that are $name', (distribution) => {
  it.each([DEFAULT_PRICE_MS, 4_000])(
    'are noticed within 1.25 times of the best delay after 500 of them, at a price of %d ms',
    (priceMs) => {
      expect(compareWithOptimum(distribution, { jobs: 5_000, priceMs }).ratio).toBeLessThan(1.25);
    },
  );

  it.each(['1,000 at once', '1 a second', '1 a minute'])(
    'cost 10 % more than with the backoff at most in a cold start, %s',
    (arrivals) => {
      const { ratio, worst } = coldStart(distribution, (ARRIVALS[arrivals] ?? []).slice(0, 3_000));
      expect(ratio).toBeLessThan(1.1);
      expect(worst).toBeLessThan(1.1);
    },
  );
});

describe('firewalls of about three minutes', () => {
  it("need half of Terraform's polls for 1.5 times its delay, which is a fourth of that of exponential backoff", () => {
    const { own } = compareWithOptimum(usual, { priceMs: 800 });
    const terraform = averagesOf(() => 10_000, usual);
    expect(own.polls).toBeLessThanOrEqual((terraform.polls - 1) / 2);
    expect(own.delayMs).toBeLessThanOrEqual(1.5 * terraform.delayMs);
    const exponential = averagesOf((elapsedMs) => Math.min(60_000, 1_000 + elapsedMs), usual);
    expect(own.polls).toBeLessThanOrEqual(exponential.polls);
    expect(own.delayMs).toBeLessThanOrEqual(exponential.delayMs / 4);
  });

  it.each([
    { distribution: sharp, name: sharp.name, ratio: 0.45 },
    { distribution: usual, name: usual.name, ratio: 0.7 },
  ])(
    'are noticed in $ratio of the time under a third of the quota they want: $name',
    ({ distribution, ratio }) => {
      const quota = underQuota(distribution, { inFlight: 3_000, untilMs: 2_000_000 });
      expect(quota.ratio).toBeLessThan(ratio);
      expect(quota.learned.waitedP99Ms).toBeLessThan(10_000);
    },
    60_000,
  );
});
