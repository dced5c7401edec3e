import { beforeEach, describe, expect, it } from '@jest/globals';
import { readEvents } from '../../src/index.js';
import { append } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { STREAM, useRedis } from '../support/redis.js';

const server = useRedis({ appendOnly: true });
beforeEach(async () => {
  await server.redis.client.flushall();
});

async function take(count: number, options: Parameters<typeof readEvents>[1], meanwhile?: () => Promise<unknown>) {
  const ids: string[] = [];
  const reading = (async () => {
    for await (const { event } of readEvents(server.redis.client, options)) {
      ids.push(event.id);
      if (ids.length === count) return;
    }
  })();
  await meanwhile?.();
  await reading;
  return ids;
}

describe('reading events', () => {
  it('from the start gives all there are and those that come', async () => {
    await append(server.redis.client, 'a', 'b');
    expect(await take(3, { from: 'start' }, () => append(server.redis.client, 'c'))).toEqual(['a', 'b', 'c']);
  });

  it('after an entry goes on behind it', async () => {
    const [first = ''] = await append(server.redis.client, 'a', 'b');
    expect(await take(1, { from: first })).toEqual(['b']);
  });

  it('passes over entries that are no events, and tells of them', async () => {
    await append(server.redis.client, 'a');
    await server.redis.client.xadd(STREAM, '*', 'somebody', 'else');
    await append(server.redis.client, 'b');
    const invalid: string[] = [];
    const options = { from: 'start', onInvalid: ({ message }: Error) => invalid.push(message) };
    expect(await take(2, options)).toEqual(['a', 'b']);
    expect(invalid).toEqual([expect.stringMatching(/^stream entry \d+-\d+ is no event/)]);
  });

  it('ends at once when told to, though it waits', async () => {
    const stop = new AbortController();
    const ids = take(1, { signal: stop.signal }, async () => stop.abort());
    expect(await ids).toEqual([]);
  });

  it('goes on where a failover throws it out of its wait', async () => {
    const { client } = server.redis;
    const ids = await take(2, { from: 'start' }, async () => {
      await append(server.redis.client, 'a');
      const waiting = await eventually(
        async () => ((await client.client('LIST')) as string).split('\n').find((line) => / cmd=xread /.test(line)),
        { what: 'the wait' },
      );
      // What a master says to those that wait when it becomes a replica.
      await client.client('UNBLOCK', /id=(\d+)/.exec(waiting)?.[1] ?? '', 'ERROR');
      await append(server.redis.client, 'b');
    });
    expect(ids).toEqual(['a', 'b']);
  });

  it('goes on behind the last event after Redis was away', async () => {
    const ids = await take(2, { from: 'start' }, async () => {
      await append(server.redis.client, 'a');
      await server.redis.crash();
      await server.redis.restart();
      await append(server.redis.client, 'b');
    });
    expect(ids).toEqual(['a', 'b']);
  });
});
