import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { toEntry } from '../../../src/events/index.js';
import { CfwJobProducer } from '../../../src/index.js';
import type { PageSources } from '../../../src/ops/http/page/sources.js';
import { createHttpServer } from '../../../src/ops/http/server.js';
import { createLogger } from '../../../src/ops/logger.js';
import { ask } from '../../support/ask.js';
import { EventStreamReader } from '../../support/event-stream-reader.js';
import { append, eventOf } from '../../support/events.js';
import { eventually } from '../../support/eventually.js';
import { STREAM, TestRedis, useRedis } from '../../support/redis.js';
import { environment, useCleanUp } from '../../support/sidecar.js';

const server = useRedis({ appendOnly: true });
const start = useCleanUp();

beforeEach(async () => {
  await server.redis.client.flushall();
});

async function running(redis: TestRedis = server.redis) {
  const sidecar = await start.sidecar(environment(redis, await start.simulator()));
  await eventually(async () => (await ask(sidecar.url, '/readyz')).status === 200, { what: 'readiness' });
  // Only then has it all its connections.
  const listens = async () => (await redis.connections()).some((line) => line.includes(' cmd=bzpopmin '));
  await eventually(listens, { what: 'that it waits for jobs' });
  return sidecar;
}

class Reader extends EventStreamReader {
  constructor(...args: ConstructorParameters<typeof EventStreamReader>) {
    super(...args);
    start.onEnd(() => this.leave());
  }
}

const jobs = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => `job-${from + n}`);

describe('GET /v1/events', () => {
  it('sends events as they appear, from the start, the end, or behind the last one, to many on one connection', async () => {
    const { url } = await running();
    await append(server.redis.client, ...jobs(0, 130));
    const connections = async () => (await server.redis.connections()).length;
    const before = await connections();
    const [third = ''] = (await server.redis.client.xrange(STREAM, '-', '+', 'COUNT', 3)).slice(2).map(([id]) => id);
    const fromStart = new Reader(url, '?from=start');
    const fromEnd = Array.from({ length: 20 }, () => new Reader(url));
    const behind = new Reader(url, '?from=end', third);
    await eventually(() => fromStart.jobs.length === 130 && behind.jobs.length === 127, { what: 'what was there' });
    // From now on they miss nothing.
    await eventually(() => fromEnd.every(({ status }) => status === 200), { what: 'all connections' });
    await sleep(300);
    expect((await connections()) - before).toBe(1);
    await append(server.redis.client, ...jobs(130, 200));
    await eventually(() => [fromStart, behind, ...fromEnd].every(({ jobs }) => jobs.at(-1) === 'job-199'));
    expect(fromStart.jobs).toEqual(jobs(0, 200));
    expect(behind.jobs).toEqual(jobs(3, 200));
    for (const reader of fromEnd) expect(reader.jobs).toEqual(jobs(130, 200));
  });

  it('has no gap and no double while events are published and readers come and go', async () => {
    const { url } = await running();
    let published = 0;
    const publishing = (async () => {
      for (; published < 600; published += 5) {
        await append(server.redis.client, ...jobs(published, published + 5));
      }
    })();
    const ids: string[] = [];
    const seen: string[] = [];
    while (seen.length < 600) {
      const reader: Reader = new Reader(url, '?from=start', ids.at(-1));
      const enough = Math.min(600 - seen.length, 40 + ((seen.length * 7) % 160));
      await eventually(() => reader.jobs.length >= enough, { everyMs: 2 });
      reader.leave();
      seen.push(...reader.jobs);
      ids.push(...reader.ids);
    }
    await publishing;
    expect(new Set(seen).size).toBe(600);
    expect(seen).toHaveLength(600);
    expect(ids).toEqual((await server.redis.client.xrange(STREAM, '-', '+')).map(([id]) => id));
  });

  it('goes on over a restart of Redis, and ends with the sidecar', async () => {
    const redis = await TestRedis.start({ appendOnly: true });
    start.onEnd(() => redis.stop());
    const sidecar = await running(redis);
    const reader = new Reader(sidecar.url);
    await eventually(async () => {
      await append(redis.client, 'first');
      return reader.jobs.length > 0;
    });
    await redis.crash();
    await redis.restart();
    await append(redis.client, 'after');
    await eventually(() => reader.jobs.includes('after'));
    expect(reader.jobs.filter((job) => job === 'after')).toHaveLength(1);
    await sidecar.stop();
    await eventually(() => reader.ended);
  });

  it('lets a reader go that takes nothing, having read a bounded part for it', async () => {
    const { client } = server.redis;
    const event = eventOf('large');
    const fields = toEntry({
      ...event,
      data: { ...event.data, metadata: { text: 'x'.repeat(4_000) } },
    } as typeof event);
    const pipeline = client.pipeline();
    for (let n = 0; n < 8_000; n += 1) pipeline.xadd(STREAM, '*', ...fields);
    await pipeline.exec();
    await client.config('RESETSTAT');
    const http = createHttpServer({
      ...{ redis: client, eventStream: STREAM, token: undefined, writable: false, slowReaderMs: 500 },
      producer: new CfwJobProducer({ redis: client }),
      readiness: async () => ({ ready: true, checks: {} }),
      metrics: async () => ({ text: '', contentType: 'text/plain' }),
      logger: createLogger('silent'),
      projectId: undefined,
      page: {} as PageSources,
    });
    start.onEnd(() => http.close());
    const url = await http.listen({ host: '127.0.0.1', port: 0 });
    const stalled = request(`${url}/v1/events?from=start`);
    stalled.once('response', (response) => response.pause());
    stalled.on('error', () => {});
    stalled.end();
    start.onEnd(() => stalled.destroy());
    const others = Array.from({ length: 99 }, () => new Reader(url));
    await eventually(() => others.every(({ status }) => status === 200), { what: 'ninety-nine others' });
    // There is a place for a hundredth when the stalled one has been let go.
    await eventually(async () => {
      const reader = new Reader(url);
      await eventually(() => reader.status !== 0);
      return reader.status === 200;
    });
    const pages = /cmdstat_xrange:calls=(\d+)/.exec(await client.info('commandstats'))?.[1];
    // Each of the others has asked for one page or two. What a socket's buffers take is some MB; all of it would be 160 pages.
    expect(Number(pages)).toBeLessThan(200 + 120);
  });

  it('takes a hundred readers, and another one when one of them has gone', async () => {
    const { url } = await running();
    const readers = Array.from({ length: 100 }, () => new Reader(url));
    await eventually(() => readers.every(({ status }) => status === 200), { what: 'a hundred readers' });
    const refused = await ask(url, '/v1/events');
    expect([refused.status, refused.json.detail]).toEqual([503, expect.stringMatching(/100 readers are connected/)]);
    readers[0]?.leave();
    const another = await eventually(async () => {
      const reader = new Reader(url);
      await eventually(() => reader.status !== 0);
      return reader.status === 200 && reader;
    });
    await append(server.redis.client, 'one');
    await eventually(() => another.jobs.length > 0);
  });

  it.each([
    ['?from=middle', {}, /from must be start or end/],
    ['', { 'last-event-id': 'x' }, /Last-Event-ID must be/],
  ])('refuses %s', async (query, headers, detail) => {
    const { url } = await running();
    const { status, json } = await ask(url, `/v1/events${query}`, { headers: headers as Record<string, string> });
    expect(status).toBe(400);
    expect(json.detail).toMatch(detail);
  });
});
