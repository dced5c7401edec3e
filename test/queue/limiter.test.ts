import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { CallLimiter, limiterWindow } from '../../src/queue/limiter.js';
import { useRedis } from '../support/redis.js';

describe('the windows of a rate', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it.each([1, 2, 7, 10, 20, 24, 25, 33, 60, 72, 99, 100, 101, 135, 150, 200, 999, 5_000, 100_000])(
    'of %d/s are small, keep to it, and use it',
    (rate) => {
      const window = limiterWindow(rate);
      const chance = jest.spyOn(Math, 'random');
      const lengths = Array.from({ length: 1_000 }, (_, n) => chance.mockReturnValueOnce(n / 1_000) && window.duration);
      expect(lengths.every((duration) => Number.isInteger(duration) && duration > 0)).toBe(true);
      // Redis lets go of a key in the millisecond after its last one; then somebody has to ask.
      const cycleMs = lengths.reduce((total, duration) => total + duration, 0) / lengths.length + 2.4;
      const perSecond = (window.max * 1_000) / cycleMs;
      expect(perSecond / rate).toBeCloseTo(1, 3);
      // A second touches one window more than it holds.
      expect(perSecond + window.max).toBeLessThanOrEqual(Math.max(rate + 1.1, rate * 1.05));
    },
  );

  it('hold any number of calls where there is no limit', () => {
    expect(limiterWindow(0).max).toBeGreaterThan(1e12);
  });
});

describe('tokens for held jobs', () => {
  const server = useRedis();
  const key = (name: string) => `{cfw}:test:${name}`;
  const SLOW = 10;
  beforeEach(async () => {
    await server.redis.client.flushall();
  });
  const limiter = (ratePerSecond: number) => new CallLimiter(server.redis.client, key, ratePerSecond);

  it('are as many as fit into a window', async () => {
    const { client } = server.redis;
    const tokens = limiter(100);
    // As BullMQ does it for the first job of a window; this one lasts for the whole test.
    await client.set(key('limiter'), 1, 'PX', 60_000);
    const taken = [await tokens.take(), await tokens.take(), await tokens.take(), await tokens.take()];
    expect(taken).toEqual([true, true, true, false]);
  });

  it('begin a window that ends by itself', async () => {
    const tokens = limiter(SLOW);
    expect(await tokens.take()).toBe(true);
    expect(await server.redis.client.pttl(key('limiter'))).toBeLessThanOrEqual(100);
    await sleep(150);
    expect(await tokens.take()).toBe(true);
  });

  it.each<readonly [string, (client: typeof server.redis.client) => Promise<unknown>]>([
    ['waits', (client) => client.lpush(key('wait'), 'job')],
    ['waits with a priority', (client) => client.zadd(key('prioritized'), 1, 'job')],
    ['is due', (client) => client.zadd(key('delayed'), (Date.now() - 1_000) * 4_096, 'job')],
  ])('are none while another job %s', async (_what, stand) => {
    await stand(server.redis.client);
    expect(await limiter(0).take()).toBe(false);
  });

  it('are none in a paused queue', async () => {
    await server.redis.client.hset(key('meta'), 'paused', 1);
    expect(await limiter(0).take()).toBe(false);
  });

  it('are there while another job is delayed', async () => {
    await server.redis.client.zadd(key('delayed'), (Date.now() + 60_000) * 4_096, 'job');
    expect(await limiter(0).take()).toBe(true);
  });

  it('are none during a hold-back, also where there is no limit; only a longer one counts', async () => {
    const { client } = server.redis;
    const tokens = limiter(0);
    await tokens.holdBack(60_000);
    await tokens.holdBack(10);
    expect(await client.pttl(key('limiter'))).toBeGreaterThan(50_000);
    await tokens.holdBack(120_000);
    expect(await client.pttl(key('limiter'))).toBeGreaterThan(110_000);
    await tokens.giveBack();
    expect(await tokens.take()).toBe(false);
  });

  it('can be given back, but not more than were taken', async () => {
    const { client } = server.redis;
    const tokens = limiter(100);
    await client.set(key('limiter'), 4, 'PX', 60_000);
    expect(await tokens.take()).toBe(false);
    await tokens.giveBack();
    expect(await tokens.take()).toBe(true);
    await client.del(key('limiter'));
    await tokens.giveBack();
    expect(await client.exists(key('limiter'))).toBe(0);
  });
});
