import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { RedisClock } from '../../src/queue/clock.js';

// Time stands still, so that no stall comes between two readings of it.
beforeEach(() => {
  jest.useFakeTimers({ now: Date.UTC(2026, 0, 2) });
});
afterEach(() => {
  jest.useRealTimers();
});

/** The distance of the clock to the monotonic one. */
const offset = (clock: RedisClock) => clock.now() - performance.now();

describe("Redis's clock", () => {
  it('is the one that counts, not that of the machine', () => {
    const clock = new RedisClock();
    const ahead = Date.now() + 180_000;
    clock.measured(ahead, performance.now());
    expect(Math.abs(clock.now() - ahead)).toBeLessThan(50);
    expect(clock.machineAheadMs).toBeLessThan(-179_000);
  });

  it('keeps the more exact of two measurements that can both be right', () => {
    const clock = new RedisClock();
    const now = Date.now();
    clock.measured(now, performance.now());
    const exact = offset(clock);
    // The answer took half a second, so it may be wrong by a quarter.
    clock.measured(now - 100, performance.now() - 500);
    expect(Math.abs(offset(clock) - exact)).toBeLessThan(1);
  });

  it('follows Redis if that was set to another time', () => {
    const clock = new RedisClock();
    clock.measured(Date.now(), performance.now());
    const before = offset(clock);
    clock.measured(Date.now() - 60_000, performance.now() - 40);
    expect(offset(clock) - before).toBeLessThan(-59_000);
  });
});
