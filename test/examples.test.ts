import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { listDeadLetters } from '../src/consumers/index.js';
import { append } from './support/events.js';
import { eventually } from './support/eventually.js';
import { STREAM, useRedis } from './support/redis.js';

const server = useRedis();
const ends: (() => unknown)[] = [];
beforeEach(async () => {
  await server.redis.client.flushall();
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const example = (path: string) => fileURLToPath(new URL(`../examples/${path}`, import.meta.url));
// Debian's python3-redis belongs to Debian's Python, which need not be the first one on the path.
const python = ['python3', '/usr/bin/python3'].find((name) => spawnSync(name, ['-c', 'import redis']).status === 0);

/** An example as a process; `lines` is what it has printed. */
function start(program: string, args: readonly string[]) {
  // redis-cli wants the user named.
  const url = server.redis.url.replace('//:', '//default:');
  const env = { PATH: process.env.PATH ?? '', REDIS_URL: url, CLAIM_IDLE_MS: '500' };
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const lines: string[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const kill = async (signal: NodeJS.Signals) => {
    // The shell's own children, too.
    if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid as number), signal);
    await exited;
  };
  ends.push(() => kill('SIGKILL'));
  return { lines, kill };
}

const pending = async () => (await server.redis.client.xpending(STREAM, 'billing'))[0];

/** As a consumer that died with entries in hand leaves them. */
async function leaveBehind(...jobIds: string[]): Promise<void> {
  await append(server.redis.client, ...jobIds);
  await server.redis.client.xgroup('CREATE', STREAM, 'billing', '0');
  await server.redis.client.xreadgroup('GROUP', 'billing', 'dead', 'COUNT', 10, 'STREAMS', STREAM, '>');
}

(python === undefined ? describe.skip : describe)('the example in Python', () => {
  it('handles events, takes over from the dead, and buries what it cannot read', async () => {
    await leaveBehind('a', 'b');
    await server.redis.client.xadd(STREAM, '*', 'data', '{');
    const { lines, kill } = start(python ?? '', [example('python/subscriber.py'), 'billing', 'py']);
    await append(server.redis.client, 'c');
    await eventually(() => lines.length === 3);
    expect(lines.sort()).toEqual(['a', 'b', 'c'].map((id) => `cfw.job.completed ${id} - {"orderId": "${id}"}`));
    await eventually(async () => (await pending()) === 0);
    const letters = [];
    for await (const letter of listDeadLetters(server.redis.client, STREAM)) letters.push(letter);
    expect(letters).toEqual([
      expect.objectContaining({ group: 'billing', consumer: 'py', deliveries: 1, entry: ['data', '{'], event: null }),
    ]);
    await kill('SIGTERM');
  });

  it('makes the group where it is missing', async () => {
    await append(server.redis.client, 'a');
    const { lines } = start(python ?? '', [example('python/subscriber.py'), 'billing', 'py']);
    await eventually(() => lines.length === 1);
  });
});

describe('the example with redis-cli', () => {
  it('handles events, and takes over from the dead', async () => {
    await leaveBehind('a', 'b');
    const { lines } = start('sh', [example('redis-cli.sh'), 'billing', 'cli']);
    await append(server.redis.client, 'c');
    await eventually(async () => lines.length >= 3 && (await pending()) === 0);
    for (const id of ['a', 'b', 'c']) expect(lines.some((line) => line.includes(id))).toBe(true);
  });
});
