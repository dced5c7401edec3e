import { beforeEach, describe, expect, it } from '@jest/globals';
import { BIN_COUNT, DurationStore, NOTHING_KNOWN, sum } from '../../src/schedule/index.js';
import { useRedis } from '../support/redis.js';

const server = useRedis();
const KEY = '{cfw}:durations:cfw-jobs';
const NOW = Date.UTC(2026, 10, 24);
const HOUR_MS = 3_600_000;

beforeEach(async () => {
  await server.redis.client.flushall();
});

const memory = (queueName = 'cfw-jobs') =>
  new DurationStore({ redis: server.redis.client, queueName, queuePrefix: '{cfw}' });

/** Many jobs, one after another, that end in a bin. */
async function learnMany(count: number, bin: number, eraMs: number, from = NOW, everyMs = 1_000): Promise<void> {
  const one = memory();
  for (let n = 0; n < count; n += 1) await one.learn({ kind: 'ended', bin }, eraMs, from + n * everyMs);
}

describe('the memory of durations', () => {
  it('knows nothing at first, and after a reset', async () => {
    expect(await memory().read()).toEqual(NOTHING_KNOWN);
    await memory().learn({ kind: 'ended', bin: 7 }, HOUR_MS);
    expect(await memory().read()).not.toEqual(NOTHING_KNOWN);
    await memory().reset();
    expect(await memory().read()).toEqual(NOTHING_KNOWN);
    expect(await server.redis.client.keys('*')).toEqual([]);
  });

  it('adds up what all processes learn, and keeps queues apart', async () => {
    const processes = [memory(), memory(), memory()];
    await Promise.all(
      Array.from({ length: 90 }, (_, n) => processes[n % 3]?.learn({ kind: 'ended', bin: 10 + (n % 2) }, HOUR_MS, NOW)),
    );
    await memory().learn({ kind: 'givenUp', bin: 12 }, HOUR_MS, NOW);
    await memory('other').learn({ kind: 'ended', bin: 99 }, HOUR_MS, NOW);
    const { durations, watchedMs } = await memory().read(NOW + 5_000);
    expect(durations.ended[10]).toBe(45);
    expect(durations.ended[11]).toBe(45);
    expect(sum(durations.ended)).toBe(90);
    expect(durations.givenUp[12]).toBe(1);
    expect(watchedMs).toBe(5_000);
  });

  it('takes one command for a job', async () => {
    const one = memory();
    await one.learn({ kind: 'ended', bin: 1 }, HOUR_MS);
    const scripts = async () =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await server.redis.client.info('commandstats'))?.[1]);
    const before = await scripts();
    await one.learn({ kind: 'ended', bin: 1 }, HOUR_MS);
    expect((await scripts()) - before).toBe(1);
  });

  it('lets older jobs count for less, so that a change shows', async () => {
    await learnMany(600, 100, 0);
    await learnMany(300, 200, 0, NOW + 600_000);
    const { durations } = await memory().read();
    expect(durations.ended[200]).toBeGreaterThanOrEqual(150);
    expect(durations.ended[100]).toBeLessThanOrEqual(150);
    await learnMany(1_500, 200, 0, NOW + 900_000);
    const later = await memory().read();
    expect(later.durations.ended[100]).toBeLessThan(10);
    expect(sum(later.durations.ended)).toBeLessThanOrEqual(600);
  });

  it('lets them count as before while an era is too short: those that end first are the short ones', async () => {
    await learnMany(700, 100, HOUR_MS, NOW, 1_000);
    expect((await memory().read()).durations.ended[100]).toBe(700);
    await memory().learn({ kind: 'ended', bin: 100 }, HOUR_MS, NOW + HOUR_MS);
    expect((await memory().read()).durations.ended[100]).toBe(350.5);
  });

  it('stays small, whatever is learned', async () => {
    for (let bin = 0; bin < BIN_COUNT; bin += 1) {
      await memory().learn({ kind: 'ended', bin }, 0, NOW);
      await memory().learn({ kind: 'givenUp', bin }, 0, NOW);
    }
    expect(await server.redis.client.hlen(KEY)).toBeLessThanOrEqual(2 * BIN_COUNT + 3);
    expect(await server.redis.client.memory('USAGE', KEY)).toBeLessThan(150_000);
  });

  it('passes over what others have written into it', async () => {
    await memory().learn({ kind: 'ended', bin: 5 }, HOUR_MS, NOW);
    await server.redis.client.hset(KEY, { e6: 'many', e7: '-3', e8: 'Infinity', e99999: '5', x: 'y' });
    const { durations } = await memory().read();
    expect(durations.ended[5]).toBe(1);
    expect(sum(durations.ended)).toBe(1);
    expect(durations.ended).toHaveLength(BIN_COUNT);
  });
});
