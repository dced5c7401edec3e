import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { loadBaseConfig } from '../../src/config/index.js';
import { RedisClock } from '../../src/queue/clock.js';
import { Fleet } from '../../src/queue/fleet.js';
import { Pacer } from '../../src/queue/pacer.js';
import { defineScript, serviceRedis } from '../../src/redis/index.js';
import { eventually } from '../support/eventually.js';
import { startProxy } from '../support/proxy.js';
import { useRedis } from '../support/redis.js';

const server = useRedis();
const KEY = '{cfw}:test:cfw:fleet';
beforeEach(async () => {
  await server.redis.client.flushall();
});

describe('the shares of the rate', () => {
  const LUA = readFileSync(new URL('../../src/queue/fleet.lua', import.meta.url), 'utf8');
  type Answer = [
    micros: number,
    share: number,
    isHousekeeper: number,
    size: number,
    place: number,
    found: string,
    counter: string,
  ];
  const speak = async (id: string, want: number, limit = 100, leaseMs = 60_000, found = '') =>
    await defineScript<Answer>(server.redis.client, 'speak', 2, LUA)(
      KEY,
      '{cfw}:test:id',
      id,
      want,
      limit,
      leaseMs,
      found,
    );
  const place = async (id: string) => (await speak(id, 1))[4];
  const share = async (id: string, want: number, limit = 100) => (await speak(id, want, limit))[1];

  it('are max-min fair: a process that wants little gets that, the others split the rest', async () => {
    for (let round = 0; round < 3; round += 1) for (const id of ['a', 'b', 'c']) await share(id, id === 'a' ? 10 : 100);
    expect([await share('a', 10), await share('b', 100), await share('c', 100)]).toEqual([10, 45, 45]);
  });

  it('split what no process wants as well, so that a burst starts at once', async () => {
    for (let round = 0; round < 3; round += 1) for (const id of ['a', 'b', 'c']) await share(id, 1);
    const shares = [await share('a', 1), await share('b', 1), await share('c', 1)];
    expect(shares.reduce((total, one) => total + one)).toBe(100);
    expect(Math.min(...shares)).toBe(33);
  });

  it('grow only by what others have let go', async () => {
    expect(await share('a', 100)).toBe(100);
    expect(await share('b', 100)).toBe(0);
    expect(await share('a', 100)).toBe(50);
    expect(await share('b', 100)).toBe(50);
  });

  it('work with a limit below the number of processes', async () => {
    const ids = Array.from({ length: 20 }, (_, n) => `p${n}`);
    for (let round = 0; round < 3; round += 1) for (const id of ids) await share(id, 2, 2);
    const shares = await Promise.all(ids.map((id) => share(id, 2, 2)));
    expect(shares.reduce((total, one) => total + one)).toBe(2);
  });

  it('never add up to more than the limit, whoever speaks when, and use it up within three rounds', async () => {
    const words = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 120 })), {
      minLength: 1,
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 120 }), words, async (limit, said) => {
        await server.redis.client.del(KEY);
        const shares = new Map<number, number>();
        const total = () => [...shares.values()].reduce((sum, one) => sum + one, 0);
        for (const [id, want] of said) {
          shares.set(id, await share(`${id}`, want, limit));
          expect(total()).toBeLessThanOrEqual(limit);
        }
        for (let round = 0; round < 3; round += 1) {
          for (const id of shares.keys()) shares.set(id, await share(`${id}`, 50, limit));
        }
        expect(total()).toBe(limit);
      }),
      { numRuns: 40 },
    );
  });

  it('come with the place of the process among all, by which their slots are staggered', async () => {
    for (const id of ['b', 'a', 'c']) await place(id);
    expect([await place('c'), await place('a'), await place('b')]).toEqual([2, 0, 1]);
    await speak('a', -1);
    expect([await place('c'), await place('b')]).toEqual([1, 0]);
  });

  it('end by themselves, and with them the lease of the housekeeper', async () => {
    const [, first, isHousekeeper] = await speak('a', 100, 100, 1_500);
    expect([first, isHousekeeper]).toEqual([100, 1]);
    expect((await speak('b', 100)).slice(1, 4)).toEqual([0, 0, 2]);
    await sleep(1_600);
    expect((await speak('b', 100)).slice(1, 4)).toEqual([100, 1, 1]);
  });

  it('are given back by a process that leaves, which hands over what it found', async () => {
    await speak('a', 100, 100, 60_000, '{"at":1}');
    await speak('a', -1);
    expect((await speak('b', 100)).slice(1, 6)).toEqual([100, 1, 1, 0, '{"at":1}']);
  });
});

describe('a process of the fleet', () => {
  const fleets: Fleet[] = [];
  afterEach(async () => {
    jest.restoreAllMocks();
    await Promise.all(fleets.splice(0).map((fleet) => fleet.leave()));
  });
  function start(id: string, ratePerSecond: number) {
    const pacer = new Pacer();
    const clock = new RedisClock();
    const answers: boolean[] = [];
    const fleet = new Fleet({
      ...{ redis: server.redis.client, key: KEY, counterKey: '{cfw}:test:id', id, ratePerSecond, clock, pacer },
      onAnswer: async ({ isHousekeeper }) => {
        answers.push(isHousekeeper);
        return undefined;
      },
      onError: () => {},
    });
    fleet.start();
    fleets.push(fleet);
    return { fleet, pacer, clock, answers };
  }

  it('shares the rate with the others, and leaves its share to them', async () => {
    const a = start('a', 100);
    const b = start('b', 100);
    await eventually(() => a.pacer.rate + b.pacer.rate === 100 && a.pacer.rate === 50);
    await a.fleet.leave();
    await eventually(() => b.pacer.rate === 100);
    expect(b.fleet.size).toBe(1);
  });

  it('calls in slots that the other does not call in, by the time of Redis', async () => {
    const a = start('a', 100);
    const b = start('b', 100);
    const rhythms = [a, b].map(({ pacer, clock }) => {
      const found = { periodMs: 0, slotMs: 0 };
      const grant = pacer.grant.bind(pacer);
      pacer.grant = (rate, until, rhythm) => {
        grant(rate, until, rhythm);
        if (rhythm === undefined) return;
        found.periodMs = rhythm.periodMs;
        found.slotMs = (rhythm.at - performance.now() + clock.now()) % rhythm.periodMs;
      };
      return found;
    });
    // A machine that stalls while Redis answers knows its time less exactly, until the next answer.
    const areApart = () => {
      const [first, second] = rhythms.map(({ slotMs }) => slotMs) as [number, number];
      const apart = Math.abs(first - second);
      return rhythms.every(({ periodMs }) => periodMs === 60) && Math.min(apart, 60 - apart) > 25;
    };
    await eventually(areApart, { timeoutMs: 20_000, what: 'slots half a period apart' });
  });

  it('speaks once a second when its share has settled, though it has more to do than it may', async () => {
    const { pacer, answers } = start('a', 100);
    const busy = setInterval(() => pacer.missed(), 20);
    await eventually(() => answers.length > 2);
    const [before, begunAt] = [answers.length, performance.now()];
    await sleep(4_000);
    clearInterval(busy);
    // While shares change it is twice a second.
    expect(answers.length - before).toBeLessThanOrEqual(Math.floor((performance.now() - begunAt) / 1_000) + 1);
  });

  it('is the housekeeper alone, until it leaves', async () => {
    const a = start('a', 0);
    await eventually(() => a.answers.length > 0);
    const b = start('b', 0);
    await eventually(() => b.answers.length > 1);
    expect([a.answers.every(Boolean), b.answers.some(Boolean)]).toEqual([true, false]);
    await a.fleet.leave();
    await eventually(() => b.answers.at(-1) === true);
  });

  it('connects anew if its connection dies while the housekeeper waits for Redis', async () => {
    const proxy = await startProxy(Number(new URL(server.redis.url).port));
    const url = new URL(server.redis.url);
    url.port = `${proxy.port}`;
    const redis = serviceRedis(loadBaseConfig({ REDIS_URL: url.href }).redis);
    const errors: unknown[] = [];
    let answers = 0;
    const fleet = new Fleet({
      ...{ redis, key: KEY, counterKey: '{cfw}:test:id', id: 'a', ratePerSecond: 0 },
      ...{ clock: new RedisClock(), pacer: new Pacer() },
      onAnswer: async () => {
        if (answers === 0) proxy.freeze();
        await redis.get('x');
        answers += 1;
        return undefined;
      },
      onError: (error) => errors.push(error),
    });
    fleet.start();
    await eventually(() => answers > 2, { timeoutMs: 30_000, what: 'work after the connection has died' });
    expect(errors.join()).toContain('Redis has not answered for 10 s; reconnecting');
    await fleet.leave();
    redis.disconnect();
    await proxy.stop();
  });

  it("knows Redis's time", async () => {
    // The clock of this machine is a minute ahead.
    const now = Date.now.bind(Date);
    jest.spyOn(Date, 'now').mockImplementation(() => now() + 60_000);
    const { clock } = start('a', 0);
    // A machine that stalls while Redis answers knows its time less exactly, until the next answer.
    const isRight = async () => {
      const before = clock.now();
      const [seconds = 0, micros = 0] = (await server.redis.client.time()).map(Number);
      const [told, after] = [seconds * 1_000 + micros / 1_000, clock.now()];
      return after - before < 20 && told > before - 20 && told < after + 20;
    };
    await eventually(isRight, { timeoutMs: 20_000, what: 'the time' });
  });
});
