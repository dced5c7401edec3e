import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { answered, ask, type RedisClient, RedisUnavailableError } from '../../src/redis/index.js';

/** Answers with errors first; counts how often it was asked and reconnected. */
function answers(...errors: string[]) {
  const counts = { asked: 0, reconnected: 0 };
  const redis = {
    isCluster: true,
    status: 'ready',
    disconnect: () => {
      counts.reconnected += 1;
    },
  } as unknown as RedisClient;
  const command = async () => {
    const error = errors[counts.asked];
    counts.asked += 1;
    if (error !== undefined) throw new Error(error);
    return 'answer';
  };
  return { counts, redis, command };
}

describe('asking Redis', () => {
  it.each([
    ["READONLY You can't write against a read only replica.", 1],
    [
      "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write against a read only replica.",
      1,
    ],
    ['UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)', 1],
    ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 1],
    ['LOADING Redis is loading the dataset in memory', 0],
    ['BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.', 0],
    ['CLUSTERDOWN The cluster is down', 0],
    ['TRYAGAIN Multiple keys request during rehashing of slot', 0],
    ['NOREPLICAS Not enough good replicas to write.', 0],
    ['Too many Cluster redirections. Last error: Error: Connection is closed.', 0],
  ])('goes on after a passing state: %s', async (message, reconnected) => {
    const { counts, redis, command } = answers(message);
    const errors: string[] = [];
    expect(await ask(redis, command, { onError: (error) => errors.push(error.message) })).toBe('answer');
    expect([errors, counts]).toEqual([[message], { asked: 2, reconnected }]);
  });

  it.each([
    'BUSYGROUP Consumer Group name already exists',
    'WRONGTYPE Operation',
    'NOPERM this user',
    'ERR "READONLY x"',
  ])('gives other answers to the caller: %s', async (message) => {
    const { counts, redis, command } = answers(message);
    await expect(ask(redis, command)).rejects.toThrow(message);
    expect(counts.asked).toBe(1);
  });

  it('gives up in time, and says what the last answer was', async () => {
    const { redis, command } = answers(...Array.from({ length: 100 }, () => 'LOADING Redis is loading'));
    const given = await ask(redis, command, { withinMs: 600 }).catch((error: unknown) => error);
    expect(given).toBeInstanceOf(RedisUnavailableError);
    expect(given).toMatchObject({
      message: 'Redis cannot be used: nothing but "LOADING Redis is loading" for 0.6 s',
      code: 'REDIS_UNAVAILABLE',
      cause: { message: 'LOADING Redis is loading' },
    });
    await expect(ask(redis, () => new Promise(() => {}), { withinMs: 50 })).rejects.toThrow('"no answer" for 0.1 s');
    await expect(ask(redis, command, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('leaves the connection alone once it has given up', async () => {
    const { counts, redis } = answers();
    await expect(ask(redis, () => new Promise(() => {}), { withinMs: 60, silentMs: 100 })).rejects.toThrow('no answer');
    await sleep(250);
    expect(counts.reconnected).toBe(0);
  });

  it('ends with the connection, though the command is never answered', async () => {
    const { redis } = answers();
    const never = new Promise(() => {});
    const aborted = AbortSignal.abort();
    await expect(answered(redis, never, 5_000, undefined, aborted)).rejects.toThrow(
      'the connection to Redis was closed',
    );
    (redis as { status: string }).status = 'end';
    await expect(answered(redis, never, 50)).rejects.toThrow('the connection to Redis was closed');
  });

  it('replaces a silent connection', async () => {
    const { counts, redis } = answers();
    let answer = (_: string) => {};
    const errors: string[] = [];
    const asked = ask(
      redis,
      () =>
        new Promise<string>((resolve) => {
          answer = resolve;
        }),
      {
        silentMs: 50,
        onError: ({ message }) => errors.push(message),
      },
    );
    setTimeout(() => answer('late'), 120);
    expect(await asked).toBe('late');
    expect(counts.reconnected).toBeGreaterThan(0);
    expect(errors[0]).toBe('Redis has not answered for 0.05 s; reconnecting');
  });
});
