import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { loadBaseConfig } from '../../src/config/index.js';
import { EventPublisher } from '../../src/events/index.js';
import {
  CfwJobEventSubscriber,
  CfwJobProducer,
  CfwJobWaiter,
  consumeEvents,
  InvalidOptionError,
  readEvents,
} from '../../src/index.js';
import { copyConnection, type RedisClient, type RedisConnection, serviceRedis } from '../../src/redis/index.js';
import { endOf, eventOf } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { Four } from '../support/four.js';
import { startProxy } from '../support/proxy.js';
import { STREAM, TestRedis, useRedis } from '../support/redis.js';

const server = useRedis();
const ends: (() => unknown)[] = [];
beforeEach(async () => {
  await server.redis.client.flushall();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const port = () => Number(new URL(server.redis.url).port);
const password = () => decodeURIComponent(new URL(server.redis.url).password);
function user(options: object, Client: new (options: object) => unknown = Redis): RedisConnection {
  const redis = new Client({ host: '127.0.0.1', port: port(), password: password(), ...options }) as Redis;
  redis.on('error', () => {});
  ends.push(() => redis.disconnect());
  return redis as unknown as RedisConnection;
}
function four(redis: RedisConnection, awaited: string): Four {
  const all = new Four(redis, awaited);
  ends.push(() => all.stop());
  return all;
}
/** Publishes as the sidecar does: a waiter that begins a moment later finds it in the memory. */
async function append(redis: Redis, ...ids: string[]): Promise<void> {
  const options = { stream: STREAM, maxLength: 0, dedupTtlMs: 60_000, endpoint: 'https://cfw.example.com' };
  const publisher = new EventPublisher({ redis, ...options });
  for (const jobId of ids) {
    await publisher.publish(endOf({ ...eventOf(jobId).data, projectId: 'p', jobId, watchId: null }));
  }
}
const waiting = async () => await server.redis.client.llen('{cfw}:cfw-jobs:wait');

/** Each of these broke one of the four once, or could. */
const HOSTILE = {
  enableOfflineQueue: false,
  commandTimeout: 100,
  socketTimeout: 150,
  blockingTimeout: 100,
  autoResendUnfulfilledCommands: false,
  stringNumbers: true,
  replyMapping: 'resp3',
  retryStrategy: () => null,
  reconnectOnError: () => true,
  maxRetriesPerRequest: 0,
  enableAutoPipelining: true,
  lazyConnect: true,
} satisfies RedisOptions;

describe('a connection of a service', () => {
  it('may have any options for its own commands', async () => {
    const all = four(user(HOSTILE), 'b');
    await all.ready();
    expect((await all.producer.enqueue({ jobId: 'one' })).state).toBe('queued');
    // Longer than each of its timeouts.
    await sleep(400);
    await append(server.redis.client, 'a');
    await server.redis.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await append(server.redis.client, 'b');
    await all.seen('b');
    expect(all.failures).toEqual([]);
    expect([all.handled, all.read]).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
    expect(await all.producer.enqueueMany([{ jobId: 'one' }, { jobId: 'two' }])).toHaveLength(2);
    expect(await all.producer.status({ projectId: 'p', jobId: 'two' })).toMatchObject({ state: 'queued', polls: 0 });
    expect(await waiting()).toBe(2);
  });

  it('keeps no copy from connecting again after it has given up itself', async () => {
    const redis = await TestRedis.start({ appendOnly: true });
    ends.push(() => redis.stop());
    const giving = new Redis(redis.url, { retryStrategy: (times) => (times > 2 ? null : 20) });
    giving.on('error', () => {});
    const all = four(giving, 'a');
    await all.ready();
    await redis.crash();
    await eventually(() => giving.status === 'end', { what: 'that it has given up' });
    await eventually(() => all.errors.join().includes('ECONNREFUSED'), { what: 'that the copies are refused' });
    await redis.restart();
    await append(redis.client, 'a');
    await all.seen('a');
    expect((await all.producer.enqueue({ jobId: 'one' })).state).toBe('queued');
  });

  it.each(['ioredis4', 'ioredis5'])('may be one of %s', async (name) => {
    const Client = createRequire(import.meta.url)(name) as new (options: object) => unknown;
    const all = four(user({ enableOfflineQueue: false, commandTimeout: 100, stringNumbers: true }, Client), 'a');
    await all.ready();
    await append(server.redis.client, 'a');
    await all.seen('a');
    expect((await all.producer.enqueue({ jobId: 'one' })).state).toBe('queued');
    expect(await all.producer.status({ projectId: 'p', jobId: 'one' })).toMatchObject({ state: 'queued' });
  });

  it('is refused by each if it has a keyPrefix, or if it is none', async () => {
    const redis = user({ keyPrefix: 'app:' });
    const more = { redis, group: 'g', consumer: 'c' };
    const message =
      /^redis is invalid: its keyPrefix "app:" would hide the queue and the stream; expected .* without keyPrefix$/;
    for (const use of [
      () => readEvents(redis),
      () => new CfwJobWaiter({ redis }),
      () => new CfwJobProducer({ redis }),
      () => new CfwJobEventSubscriber({ ...more, handler: () => {} }),
    ]) {
      expect(use).toThrow(InvalidOptionError);
      expect(use).toThrow(message);
    }
    await expect(consumeEvents(more).next()).rejects.toThrow(message);
    const cluster = new Cluster([], { lazyConnect: true, redisOptions: { keyPrefix: 'app:' } });
    expect(() => new CfwJobProducer({ redis: cluster })).toThrow(message);
    expect(() => new CfwJobProducer({ redis: { duplicate: () => {} } as never })).toThrow(
      'redis is invalid: expected a connection of ioredis, new Redis() or new Cluster()',
    );
  });
});

describe('a copy of a connection', () => {
  const copy = (redis: RedisConnection, onError = () => {}): RedisClient => {
    const made = copyConnection(redis, onError);
    ends.push(() => made.disconnect());
    return made;
  };

  it('goes where the original goes, in the database that is selected last and with the login of now', async () => {
    const original = user({}) as unknown as Redis;
    await original.select(3);
    const third = copy(original);
    await third.set('where', 'here');
    expect(await original.get('where')).toBe('here');

    await server.redis.client.acl('SETUSER', 'rotated', 'on', '>old', '~*', '+@all');
    const rotated = user({ username: 'rotated', password: 'old' }) as unknown as Redis;
    const follower = copy(rotated);
    expect(await follower.ping()).toBe('PONG');
    await server.redis.client.acl('SETUSER', 'rotated', '>new', '<old');
    rotated.options.password = 'new';
    await server.redis.client.call('CLIENT', 'KILL', 'USER', 'rotated');
    expect(await follower.ping()).toBe('PONG');
    await server.redis.client.acl('DELUSER', 'rotated');
  });

  it('has the options of Sentinel and Cluster that say where and as whom, and no others', () => {
    const tls = { servername: 'redis' };
    const where = {
      sentinels: [{ host: '127.0.0.1', port: 1 }],
      name: 'm',
      username: 'u',
      password: 'p',
      tls,
      natMap: {},
    };
    const original = new Redis({ ...HOSTILE, ...where, role: 'master', sentinelRetryStrategy: () => null });
    const one = copy(original as unknown as RedisConnection) as Redis;
    expect(one.options).toMatchObject({ ...where, maxRetriesPerRequest: null, replyMapping: 'legacy' });
    for (const name of Object.keys(HOSTILE) as (keyof typeof HOSTILE)[]) {
      expect([name, one.options[name]]).not.toEqual([name, HOSTILE[name]]);
    }
    expect(one.options.sentinelRetryStrategy?.(1_000)).toBeGreaterThan(0);

    const { lazyConnect, enableOfflineQueue, ...redisOptions } = HOSTILE;
    const cluster = new Cluster([{ host: '127.0.0.1', port: 1 }], {
      lazyConnect,
      enableOfflineQueue,
      scaleReads: 'slave',
      clusterRetryStrategy: () => null,
      natMap: { a: { host: 'b', port: 1 } },
      redisOptions: { ...redisOptions, password: 'p', tls } as never,
    });
    const many = copy(cluster as unknown as RedisConnection) as Cluster;
    expect(many.options).toMatchObject({
      scaleReads: 'master',
      enableOfflineQueue: true,
      natMap: cluster.options.natMap,
    });
    expect(many.options.clusterRetryStrategy?.(1_000)).toBeGreaterThan(0);
    const set = Object.entries(many.options.redisOptions ?? {}).filter(([, value]) => value !== undefined);
    expect(Object.fromEntries(set)).toMatchObject({ password: 'p', tls, maxRetriesPerRequest: null });
    expect(set.map(([name]) => name)).not.toEqual(expect.arrayContaining(['stringNumbers']));
  });
});

describe('the way to Redis', () => {
  it('may go silent without an end: all four notice, and lose nothing', async () => {
    const proxy = await startProxy(port());
    ends.push(() => proxy.stop());
    const all = four(user({ port: proxy.port }), 'c');
    await all.ready();
    await append(server.redis.client, 'a');
    await all.producer.enqueue({ jobId: 'one' });
    proxy.freeze();
    // The server still thinks that this one was read: it is pending for a consumer that has never seen it.
    await append(server.redis.client, 'b');
    const enqueued = all.producer.enqueue({ jobId: 'two' });
    await sleep(1_000);
    await append(server.redis.client, 'c');
    await all.seen('c');
    await eventually(() => all.handled.length === 3, { timeoutMs: 20_000, what: 'the event that was lost on the way' });
    expect([...all.handled].sort()).toEqual(['a', 'b', 'c']);
    expect(all.read).toEqual(['a', 'b', 'c']);
    expect(all.errors).toContain('Redis has not answered for 8 s; reconnecting');
    await enqueued;
    expect(await waiting()).toBe(2);
  });

  it('may lead to a server that has become a replica: all four connect anew, to the one that is the master now', async () => {
    const next = await TestRedis.start();
    ends.push(() => next.stop());
    const proxy = await startProxy(port());
    ends.push(() => proxy.stop());
    const all = four(user({ port: proxy.port }), 'b');
    await all.ready();
    await append(server.redis.client, 'a');
    await all.producer.enqueue({ jobId: 'one' });
    await next.client.config('SET', 'requirepass', password());
    proxy.redirect(Number(new URL(next.url).port));
    await append(next.client, 'a', 'b');
    await server.redis.client.replicaof('127.0.0.1', Number(new URL(next.url).port));
    ends.push(() => server.redis.client.replicaof('NO', 'ONE'));
    await all.seen('b');
    expect(all.failures).toEqual([]);
    expect((await all.producer.enqueue({ jobId: 'two' })).state).toBe('queued');
    expect(await next.client.xlen(STREAM)).toBe(2);
    expect(await next.client.lrange('{cfw}:cfw-jobs:wait', 0, -1)).toEqual(['p.two']);
  });
});

describe('the connection of a sidecar', () => {
  it('sends what comes in one turn of the event loop in one write, and ends as it should', async () => {
    const redis = serviceRedis(loadBaseConfig({ REDIS_URL: server.redis.url }).redis);
    ends.push(() => redis.disconnect());
    await redis.ping();
    const reads = async () =>
      Number(/total_reads_processed:(\d+)/.exec(await server.redis.client.info('stats'))?.[1] ?? Number.NaN);
    const before = await reads();
    const numbers = await Promise.all(Array.from({ length: 50 }, () => redis.incr('together')));
    // INFO itself is one of them.
    expect((await reads()) - before).toBe(2);
    expect(numbers).toEqual(Array.from({ length: 50 }, (_, n) => n + 1));
    const last = redis.incr('together');
    await redis.quit();
    expect(await last).toBe(51);
  });

  it('is made anew if what has taken it says nothing', async () => {
    const proxy = await startProxy(port(), { silent: 1 });
    ends.push(() => proxy.stop());
    const url = new URL(server.redis.url);
    url.port = `${proxy.port}`;
    const redis = serviceRedis(loadBaseConfig({ REDIS_URL: url.href }).redis);
    const errors: string[] = [];
    redis.on('error', ({ message }) => errors.push(message));
    ends.push(() => redis.disconnect());
    expect(await redis.ping()).toBe('PONG');
    expect(errors).toEqual(['Redis has not answered for 12 s']);
  });
});
