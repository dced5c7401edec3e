import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { toEntry } from '../../src/events/event.js';
import {
  CfwJobEventSubscriber,
  type CfwJobEventSubscriberOptions,
  consumeEvents,
  type DeadLetter,
} from '../../src/index.js';
import { append, eventOf } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { STREAM, useRedis } from '../support/redis.js';
import { SubscriberProcess } from '../support/subscriber-process.js';

const server = useRedis({ appendOnly: true });
const ends: (() => unknown)[] = [];

beforeEach(async () => {
  await server.redis.client.flushall();
});
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()));
});

/** Quick where a service would be patient; but a machine that stalls for a second takes nothing away from itself. */
const options = () => ({
  redis: server.redis.client,
  group: 'billing',
  consumer: 'one',
  from: 'start' as const,
  retryDelayMs: 20,
  claimIdleMs: 2_000,
});

function subscribe(change: Partial<CfwJobEventSubscriberOptions>): CfwJobEventSubscriber {
  const subscriber = new CfwJobEventSubscriber({ ...options(), handler: () => {}, ...change });
  ends.push(() => subscriber.stop());
  return subscriber;
}

/** Something to wait for that the test lets go. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

const pending = async () => (await server.redis.client.xpending(STREAM, 'billing'))[0] as number;
const settled = async () => await eventually(async () => (await pending()) === 0, { what: 'an empty pending list' });
const dead = async () =>
  (await server.redis.client.xrange(`${STREAM}:dead`, '-', '+')).map(([, fields]) => {
    const names = fields.filter((_, index) => index % 2 === 0);
    return Object.fromEntries(names.map((name, index) => [name, fields[index * 2 + 1] ?? '']));
  });

describe('a subscriber', () => {
  it('hands each event to its handler, and acknowledges it after', async () => {
    await append(server.redis.client, 'a', 'b');
    const { opened, open } = gate();
    const seen: unknown[] = [];
    subscribe({
      handler: async ({ id, data }, { entryId, deliveries }) => {
        seen.push([id, data.metadata, deliveries, /^\d+-\d+$/.test(entryId)]);
        await opened;
      },
    });
    await eventually(() => seen.length === 2);
    expect(seen).toEqual([
      ['a', { orderId: 'a' }, 1, true],
      ['b', { orderId: 'b' }, 1, true],
    ]);
    expect(await pending()).toBe(2);
    open();
    await settled();
  });

  it('begins at the end unless told, and then misses nothing that comes', async () => {
    await append(server.redis.client, 'before');
    const seen: string[] = [];
    const { from: _, ...rest } = options();
    const subscriber = new CfwJobEventSubscriber({ ...rest, handler: ({ id }) => seen.push(id) });
    ends.push(() => subscriber.stop());
    await subscriber.ready();
    await append(server.redis.client, 'after');
    await eventually(() => seen.length > 0);
    expect(seen).toEqual(['after']);
  });

  it('handles no more events at the same time than told', async () => {
    await append(server.redis.client, ...Array.from({ length: 40 }, (_, n) => `job${n}`));
    let [now, most, all] = [0, 0, 0];
    subscribe({
      concurrency: 3,
      handler: async () => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setTimeout(resolve, 5));
        now -= 1;
        all += 1;
      },
    });
    await eventually(() => all === 40);
    expect(most).toBe(3);
  });

  it('tries a failing handler again, holds up no other event, and ends with a dead letter that says why', async () => {
    await append(server.redis.client, 'bad', ...Array.from({ length: 30 }, (_, n) => `good${n}`));
    const handled: string[] = [];
    const tries: number[] = [];
    const retries: number[] = [];
    const letters: DeadLetter[] = [];
    subscribe({
      concurrency: 1,
      maxDeliveries: 4,
      onRetry: ({ delayMs }) => retries.push(delayMs),
      onDeadLetter: (letter) => letters.push(letter),
      handler: ({ id }, { deliveries }) => {
        if (id !== 'bad') return handled.push(id);
        tries.push(deliveries);
        throw new TypeError('cannot bill this');
      },
    });
    await eventually(() => letters.length > 0 && handled.length === 30);
    expect(tries).toEqual([1, 2, 3, 4]);
    expect(retries).toEqual([20, 40, 80]);
    expect(letters[0]).toMatchObject({ group: 'billing', consumer: 'one', deliveries: 4, event: { id: 'bad' } });
    expect(await dead()).toEqual([
      expect.objectContaining({ deliveries: '4', error: 'TypeError: cannot bill this', entry: expect.any(String) }),
    ]);
    await settled();
  });

  it('moves what is no event to the dead letters at once', async () => {
    await server.redis.client.xadd(STREAM, '*', 'somebody', 'else');
    await server.redis.client.xadd(STREAM, '*', 'type', 'cfw.job.completed', 'data', '{');
    await append(server.redis.client, 'good');
    const seen: string[] = [];
    const letters: DeadLetter[] = [];
    subscribe({ handler: ({ id }) => seen.push(id), onDeadLetter: (letter) => letters.push(letter) });
    await eventually(() => letters.length === 2 && seen.length === 1);
    expect(letters.map(({ entry, event }) => [entry, event])).toEqual([
      [['somebody', 'else'], null],
      [['type', 'cfw.job.completed', 'data', '{'], null],
    ]);
    expect(letters[1]?.error).toMatch(/is no event of cfw-job-poller: its data is not JSON/);
    await settled();
  });

  it('takes over what a killed consumer left, and gives up on an event that kills each one', async () => {
    const ids = Array.from({ length: 20 }, (_, n) => `job${n}`);
    await append(server.redis.client, ...ids);
    const victim = new SubscriberProcess({
      ...{ url: server.redis.url, group: 'billing', consumer: 'victim', claimIdleMs: 60_000, handlerMs: 60_000 },
    });
    ends.push(() => victim.kill('SIGKILL'));
    await eventually(async () => (await pending()) === 20);
    await victim.kill('SIGKILL');
    const [first] = (await server.redis.client.xrange(STREAM, '-', '+', 'COUNT', 1)).map(([id]) => id);
    // As if it had been delivered to five consumers that it killed.
    await server.redis.client.call('XCLAIM', STREAM, 'billing', 'victim', 0, first ?? '', 'RETRYCOUNT', 5, 'JUSTID');
    const seen: [string, number][] = [];
    const letters: DeadLetter[] = [];
    subscribe({
      handler: ({ id }, { deliveries }) => seen.push([id, deliveries]),
      onDeadLetter: (letter) => letters.push(letter),
    });
    await settled();
    expect(seen.sort()).toEqual(
      ids
        .slice(1)
        .map((id) => [id, 2])
        .sort(),
    );
    expect(letters).toEqual([
      expect.objectContaining({ deliveries: 6, event: expect.objectContaining({ id: 'job0' }) }),
    ]);
  });

  it('keeps what its handlers work on, however long they take', async () => {
    await append(server.redis.client, 'slow');
    const { opened, open } = gate();
    let runs = 0;
    const handler = async () => {
      runs += 1;
      await opened;
    };
    subscribe({ handler });
    await eventually(() => runs === 1);
    subscribe({ handler, consumer: 'two' });
    // Three times as long as an abandoned entry is left alone.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(runs).toBe(1);
    open();
    await settled();
  });

  it('takes up what it had not acknowledged when it comes back under its name', async () => {
    await append(server.redis.client, 'a', 'b');
    await server.redis.client.xgroup('CREATE', STREAM, 'billing', '0');
    await server.redis.client.xreadgroup('GROUP', 'billing', 'one', 'COUNT', 10, 'STREAMS', STREAM, '>');
    const seen: string[] = [];
    subscribe({ handler: ({ id }) => seen.push(id), claimIdleMs: 600_000 });
    await settled();
    expect(seen).toEqual(['a', 'b']);
  });

  it('stops cleanly: waits for handlers, acknowledges them, and hands the rest to others at once, uncounted', async () => {
    await append(server.redis.client, 'a', 'b', 'c');
    const { opened, open } = gate();
    const first: string[] = [];
    const one = subscribe({
      concurrency: 1,
      claimIdleMs: 600_000,
      handler: async ({ id }) => {
        first.push(id);
        await opened;
      },
    });
    await eventually(async () => (await pending()) >= 2 && first.length === 1);
    const stopped = one.stop();
    open();
    expect(await stopped).toBe(true);
    expect(first).toEqual(['a']);
    const seen: [string, number][] = [];
    subscribe({
      consumer: 'two',
      claimIdleMs: 600_000,
      handler: ({ id }, { deliveries }) => seen.push([id, deliveries]),
    });
    await settled();
    await eventually(() => seen.length === 2);
    expect(seen.sort()).toEqual([
      ['b', 1],
      ['c', 1],
    ]);
  });

  it('tells a handler to stop, and says so when it does not', async () => {
    await append(server.redis.client, 'a');
    const { opened, open } = gate();
    ends.push(open);
    let signal: AbortSignal | undefined;
    const one = subscribe({
      stopTimeoutMs: 100,
      handler: async (_, delivery) => {
        ({ signal } = delivery);
        await opened;
      },
    });
    await eventually(() => signal);
    expect(await one.stop()).toBe(false);
    expect(signal?.aborted).toBe(true);
    expect(await pending()).toBe(1);
  });

  it('outlives a restart of Redis, and a group that is gone', async () => {
    const seen: string[] = [];
    const subscriber = subscribe({ handler: ({ id }) => seen.push(id) });
    await subscriber.ready();
    await append(server.redis.client, 'a');
    await eventually(() => seen.includes('a'));
    await settled();
    await server.redis.crash();
    await server.redis.restart();
    await append(server.redis.client, 'b');
    await eventually(() => seen.includes('b'));
    await server.redis.client.flushall();
    await append(server.redis.client, 'c');
    await eventually(() => seen.includes('c'));
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  it('tells of entries that were trimmed before they were handled', async () => {
    const [id] = await append(server.redis.client, 'gone', 'there');
    await server.redis.client.xgroup('CREATE', STREAM, 'billing', '0');
    await server.redis.client.xreadgroup('GROUP', 'billing', 'one', 'COUNT', 10, 'STREAMS', STREAM, '>');
    await server.redis.client.xdel(STREAM, id ?? '');
    const seen: string[] = [];
    const trimmed: string[] = [];
    subscribe({ handler: (event) => seen.push(event.id), onTrimmed: (ids) => trimmed.push(...ids) });
    await settled();
    expect([seen, trimmed]).toEqual([['there'], [id]]);
  });

  it('tells of them on Redis 6.2, too, which does not say which they were when they are taken over', async () => {
    const claimed: unknown[] = [];
    const xautoclaim = jest.spyOn(Redis.prototype, 'xautoclaim');
    ends.push(() => xautoclaim.mockRestore());
    xautoclaim.mockImplementation(async () => ['0-0', claimed.splice(0)]);
    const seen: string[] = [];
    const trimmed: string[] = [];
    subscribe({ handler: (event) => seen.push(event.id), onTrimmed: (ids) => trimmed.push(...ids) });
    await append(server.redis.client, 'first');
    await eventually(() => seen.includes('first'));
    await settled();
    // In one step, else the subscriber would read them as new.
    const fields = toEntry(eventOf('there'));
    const steps = server.redis.client
      .multi()
      .xadd(STREAM, '*', 'data', '{}')
      .xadd(STREAM, '*', ...fields);
    const answers = await steps.xreadgroup('GROUP', 'billing', 'one', 'STREAMS', STREAM, '>').exec();
    const [gone, there] = (answers ?? []).map(([, answer]) => answer as string);
    await server.redis.client.xdel(STREAM, gone ?? '');
    claimed.push(null, [there, fields]);
    await settled();
    expect([seen, trimmed]).toEqual([['first', 'there'], [gone]]);
  });

  it('reads on where what it was about to try again was settled by others meanwhile', async () => {
    const { opened, open } = gate();
    const { call } = Redis.prototype;
    const asked: string[] = [];
    // Stands for a Redis that is away while the tries are due.
    const claims = jest.spyOn(Redis.prototype, 'call').mockImplementation(async function (this: Redis, ...args) {
      if (args[0] === 'xclaim') {
        asked.push(String(args[5]));
        await opened;
      }
      return await (call as (...all: unknown[]) => Promise<unknown>).apply(this, args);
    });
    ends.push(() => claims.mockRestore());
    const seen: string[] = [];
    subscribe({
      concurrency: 1,
      claimIdleMs: 60_000,
      handler: ({ id }) => {
        seen.push(id);
        if (id === 'a' || id === 'b') throw new Error('not now');
      },
    });
    const failing = await append(server.redis.client, 'a', 'b');
    await eventually(() => asked.length === 2, { what: 'that both are about to be tried again' });
    // Ends the read under way; for the next one there is no room.
    await append(server.redis.client, 'c');
    await eventually(async () => seen.includes('c') && (await pending()) === 2);
    await server.redis.client.xack(STREAM, 'billing', ...failing);
    open();
    await append(server.redis.client, 'd');
    await eventually(() => seen.includes('d'), { timeoutMs: 10_000, what: 'the next event' });
    expect(seen).toEqual(['a', 'b', 'c', 'd']);
  });

  it('reports errors of Redis to onError, and under its old name to onTrouble', async () => {
    await server.redis.client.set(STREAM, 'no stream');
    const errors: string[] = [];
    const troubles: string[] = [];
    subscribe({ onError: ({ message }) => errors.push(message) });
    subscribe({ consumer: 'two', onTrouble: ({ message }) => troubles.push(message) });
    await eventually(() => errors.length > 0 && troubles.length > 0);
    expect([errors[0], troubles[0]]).toEqual([
      expect.stringMatching(/^WRONGTYPE/),
      expect.stringMatching(/^WRONGTYPE/),
    ]);
  });

  it('warns of errors that last if nothing listens to them', async () => {
    await server.redis.client.set(STREAM, 'no stream');
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => {});
    ends.push(() => warn.mockRestore());
    subscribe({});
    await eventually(() => warn.mock.calls.length > 0);
    expect(warn.mock.calls[0]?.[0]).toMatch(
      /^\{cfw\}:events cannot be read for now, and is tried again and again: WRONGTYPE/,
    );
  });

  it('refuses options that do not fit, naming each', () => {
    for (const [change, message] of [
      [{ group: '' }, /^group is invalid: ""; expected a name$/],
      [{ concurrency: 0 }, /^concurrency is invalid: 0; expected a whole number from 1 to 10000$/],
      [{ claimIdleMs: 5 }, /^claimIdleMs is invalid: 5;/],
      [{ from: 'begin' }, /^from is invalid: "begin"; expected start, end or the id of an entry$/],
    ] as const) {
      expect(() => new CfwJobEventSubscriber({ ...options(), handler: () => {}, ...change })).toThrow(message);
    }
  });
});

describe('consuming as an iterator', () => {
  it('acknowledges when the loop comes back, and leaves what it was at', async () => {
    await append(server.redis.client, 'a', 'b', 'c');
    const seen: string[] = [];
    for await (const { event, deliveries } of consumeEvents(options())) {
      seen.push(`${event.id}${deliveries}`);
      if (event.id === 'b') break;
    }
    for await (const { event, deliveries } of consumeEvents({ ...options(), consumer: 'two' })) {
      seen.push(`${event.id}${deliveries}`);
      if (seen.length === 4) break;
    }
    expect(seen.sort()).toEqual(['a1', 'b1', 'b2', 'c1']);
    expect(await pending()).toBe(1);
  });

  it('ends when its signal is aborted, and what was handled is acknowledged', async () => {
    await append(server.redis.client, 'a');
    const stop = new AbortController();
    const seen: string[] = [];
    for await (const { event } of consumeEvents({ ...options(), signal: stop.signal })) {
      seen.push(event.id);
      setTimeout(() => stop.abort(), 100);
    }
    expect(seen).toEqual(['a']);
    expect(await pending()).toBe(0);
  });
});
