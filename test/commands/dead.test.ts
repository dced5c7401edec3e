import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CfwJobEventSubscriber } from '../../src/index.js';
import { run } from '../support/command.js';
import { append } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { STREAM, useRedis } from '../support/redis.js';

const server = useRedis();
const subscribers: CfwJobEventSubscriber[] = [];

beforeEach(async () => {
  await server.redis.client.flushall();
});
afterEach(async () => {
  await Promise.all(subscribers.splice(0).map((subscriber) => subscriber.stop()));
});

const dead = async (...args: string[]) => await run(['dead', ...args], { REDIS_URL: server.redis.url });
const letters = async () => await server.redis.client.xlen(`${STREAM}:dead`);

/** A group whose handler refuses what is in `bad`; returns what it has handled. */
function group(name: string, bad: Set<string>): string[] {
  const handled: string[] = [];
  subscribers.push(
    new CfwJobEventSubscriber({
      redis: server.redis.client,
      group: name,
      consumer: 'one',
      from: 'start',
      maxDeliveries: 1,
      claimIdleMs: 1_500,
      onDeadLetter: () => {},
      handler: ({ id }) => {
        if (bad.has(id)) throw new Error(`cannot do\n${id}`);
        handled.push(id);
      },
    }),
  );
  return handled;
}

describe('dead letters on the command line', () => {
  it('are listed, and replayed to their group and to no other', async () => {
    const bad = new Set(['a', 'c']);
    const billing = group('billing', bad);
    const mails = group('mails', new Set());
    await append(server.redis.client, 'a', 'b', 'c');
    await eventually(async () => (await letters()) === 2 && billing.length === 1 && mails.length === 3);

    const { code, stdout } = await dead('list');
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^\d+-0 +20\S+Z +billing +1 +p\/a +Error: cannot do a\n\d+-\d+ .*p\/c +Error: cannot do c\n$/,
    );
    expect((await dead('list', '--group', 'mails')).stdout).toBe('');
    const json = (await dead('list', '--json', '--group', 'billing')).stdout.trim().split('\n');
    const letter = JSON.parse(json[0] ?? '');
    expect(letter).toMatchObject({ group: 'billing', consumer: 'one', deliveries: 1, event: { id: 'a' } });

    bad.clear();
    expect(await dead('replay', letter.letterId)).toEqual({
      code: 0,
      stdout: `${letter.letterId}  billing  replayed\n`,
      stderr: '',
    });
    await eventually(() => billing.includes('a'));
    expect((await dead('replay', '--all')).stdout).toMatch(/replayed\n$/);
    await eventually(() => billing.includes('c'));
    expect(billing.sort()).toEqual(['a', 'b', 'c']);
    expect(mails.sort()).toEqual(['a', 'b', 'c']);
    expect(await letters()).toBe(0);
    expect(await server.redis.client.xlen(STREAM)).toBe(3);
  });

  it('are kept where they cannot be replayed, until they are dropped', async () => {
    group('billing', new Set(['a', 'b']));
    const [entryId] = await append(server.redis.client, 'a', 'b');
    await eventually(async () => (await letters()) === 2);
    await server.redis.client.xdel(STREAM, entryId ?? '');
    const { code, stdout } = await dead('replay', '--all');
    expect(code).toBe(1);
    expect(stdout).toContain('the stream has trimmed its entry; the dead letter was kept');
    expect((await dead('drop', '--all', '--group', 'mails')).code).toBe(0);
    await eventually(async () => (await letters()) > 0);
    const dropped = await dead('drop', '--all');
    expect([dropped.code, dropped.stdout]).toEqual([0, expect.stringMatching(/dropped\n$/)]);
    expect(await letters()).toBe(0);
    expect(await dead('drop', '1-1')).toMatchObject({ code: 1, stderr: '1-1: there is no such dead letter\n' });
  });

  it.each([
    [['replay'], /either ids of dead letters or --all/],
    [['drop', '1-1', '--all'], /either ids of dead letters or --all/],
    [['drop', 'x'], /id of a dead letter/],
  ])('need to be told which: %j', async (args, message) => {
    const { code, stderr } = await dead(...args);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  });
});
