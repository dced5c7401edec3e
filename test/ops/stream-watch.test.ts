import { beforeEach, describe, expect, it } from '@jest/globals';
import { StreamWatch } from '../../src/ops/stream-watch.js';
import { STREAM, useRedis } from '../support/redis.js';

const server = useRedis();
const redis = () => server.redis.client;
/** The time of entry n, in a stream that gets ten entries a second. */
const idOf = (n: number) => `${1_700_000_000_000 + n * 100}-0`;
let next: number;

beforeEach(async () => {
  await redis().flushall();
  next = 1;
});

/** Appends entries and trims exactly, so that the numbers can be told. */
async function append(count: number): Promise<void> {
  const pipeline = redis().pipeline();
  for (let n = 0; n < count; n += 1) pipeline.xadd(STREAM, 'MAXLEN', '=', 1_000, idOf(next++), 'a', 'b');
  await pipeline.exec();
}

function watch() {
  const told: string[] = [];
  const stream = new StreamWatch({
    redis: redis(),
    stream: STREAM,
    maxLength: 1_000,
    onDanger: ({ group }) => told.push(`${group} in danger`),
    onLost: ({ group }, lost) => told.push(`${group} lost ${lost}`),
  });
  return { stream, told };
}

const readUpTo = async (group: string, count: number) =>
  await redis().xreadgroup('GROUP', group, 'one', 'COUNT', count, 'STREAMS', STREAM, '>');

describe('watching the stream', () => {
  it('tells where each group stands', async () => {
    await append(500);
    await redis().xgroup('CREATE', STREAM, 'reader', '0');
    await redis().xgroup('CREATE', STREAM, 'done', '0');
    await redis().xgroup('CREATE', STREAM, 'none', '0');
    await readUpTo('reader', 200);
    for (const [, entries] of (await readUpTo('done', 500)) as [string, [string, string[]][]][]) {
      await redis().xack(STREAM, 'done', ...entries.map(([id]) => id));
    }
    const { stream, told } = watch();
    const { length, groups } = await stream.look();
    expect(length).toBe(500);
    expect(groups).toEqual([
      { group: 'done', lag: 0, pending: 0, room: null, endangered: false, lost: 0 },
      { group: 'none', lag: 500, pending: 0, room: 500, endangered: false, lost: 0 },
      { group: 'reader', lag: 300, pending: 200, room: 500, endangered: false, lost: 0 },
    ]);
    expect(stream.state.groups).toEqual(groups);
    expect(told).toEqual([]);
  });

  it('warns once before trimming takes what is not acknowledged, and counts what it has taken', async () => {
    await append(300);
    await redis().xgroup('CREATE', STREAM, 'slow', '0');
    await redis().xgroup('CREATE', STREAM, 'never', '$');
    await readUpTo('slow', 300);
    // All but one of the middle are acknowledged.
    await redis().xack(
      STREAM,
      'slow',
      ...Array.from({ length: 300 }, (_, n) => idOf(n + 1)).filter((id) => id !== idOf(201)),
    );
    const { stream, told } = watch();
    await stream.look();
    await append(700);
    // Told by the counts of earlier looks: 800 are as new as the pending one or newer.
    expect((await stream.look()).groups.find(({ group }) => group === 'slow')?.room).toBe(200);
    expect(told).toEqual([]);
    await append(150);
    await stream.look();
    await stream.look();
    expect(told).toEqual(['slow in danger']);
    // The pending one goes, and the ten after the first 300, which neither has read.
    await append(160);
    await stream.look();
    expect(told.sort()).toEqual(['never in danger', 'never lost 10', 'slow in danger', 'slow lost 11']);
    expect(stream.state.dangers).toBe(2);
  });

  it('never warns where nothing is trimmed, and says nothing of a stream that is not there', async () => {
    const never = new StreamWatch({ redis: redis(), stream: STREAM, maxLength: 0 });
    expect(await never.look()).toEqual({ length: 0, groups: [], dangers: 0 });
    await append(1_000);
    await redis().xgroup('CREATE', STREAM, 'none', '0');
    expect((await never.look()).groups[0]).toMatchObject({ room: null, endangered: false });
  });
});
