import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Simulator } from '../../src/simulator/index.js';
import { CLI, type Command } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
let simulator: Simulator;
beforeEach(async () => {
  await server.redis.client.flushall();
  simulator = await start.simulator();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'start-'));
  start.onEnd(() => rmSync(path, { recursive: true }));
  return path;
}

/** Enqueues jobs that end at once, and waits for their events. */
async function handle(count: number): Promise<void> {
  const before = await server.redis.client.xlen('{cfw}:events');
  const queue = start.rawQueue(server.redis);
  const jobs = Array.from({ length: count }, () => simulator.addJob({ projectId: PROJECT, durationMs: 0 }));
  await queue.addBulk(jobs.map(({ projectId, jobId }) => ({ name: 'x', data: { projectId, jobId } })));
  await server.redis.waitForEvents(before + count);
}

/** `start` by way of a shell, in which `$CLI` is the command. */
function shell(script: string, env: Record<string, string> = {}) {
  const child = spawn('bash', ['--norc', '-c', script], {
    cwd: tmpdir(),
    env: {
      PATH: process.env.PATH,
      CLI: `${process.execPath} ${CLI} start`,
      ...environment(server.redis, simulator),
      LOG_LEVEL: 'debug',
      CFW_RATE_LIMIT: '0',
      ...env,
    },
    // A pipe to the test would stay open as long as the slowest reader lives.
    stdio: 'ignore',
  });
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  start.onEnd(() => child.kill('SIGKILL'));
  return {
    pid: child.pid as number,
    stop: async (signal: NodeJS.Signals = 'SIGTERM') => {
      const begun = performance.now();
      child.kill(signal);
      return { code: await exited, ms: performance.now() - begun };
    },
  };
}

describe('a log that cannot be written', () => {
  it('on a disk that is full costs lines and no jobs, and says later how many', async () => {
    const file = join(folder(), 'log');
    // Two blocks of 1 KiB, which one job's lines exceed.
    const sidecar = shell(`ulimit -f 2; exec $CLI >> ${file}`);
    await handle(20);
    expect(readFileSync(file).length).toBe(2_048);
    truncateSync(file);
    await handle(1);
    const lines = await eventually(() => {
      // What comes after the last line break is a line that the full disk has cut.
      const complete = readFileSync(file, 'utf8').trimStart().split('\n').slice(0, -1);
      return complete.length > 1 && complete.map((line) => JSON.parse(line));
    });
    expect(lines[0]).toMatchObject({ level: 'warn', msg: 'log lines dropped' });
    expect(lines[0].lines).toBeGreaterThan(20);
    expect(await sidecar.stop()).toMatchObject({ code: 0 });
  });

  it.each([
    ['whose reader has stalled', 'sleep 60'],
    ['whose reader is gone', 'head -n 1'],
  ])('in a pipe %s costs no jobs, and SIGTERM ends the process within 8 s', async (_what, reader) => {
    const file = join(folder(), 'read');
    const sidecar = shell(`exec $CLI > >(exec ${reader} > ${file})`);
    // More than a pipe holds (64 KiB).
    await handle(150);
    const { code, ms } = await sidecar.stop();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(8_000);
  });
});

describe('SIGHUP', () => {
  it('is ignored by a process without a terminal, as with nohup', async () => {
    const file = join(folder(), 'log');
    const sidecar = shell(`exec nohup $CLI > ${file}`);
    await eventually(() => readFileSync(file, 'utf8').includes('sidecar started'));
    process.kill(sidecar.pid, 'SIGHUP');
    await handle(1);
    expect(await sidecar.stop()).toMatchObject({ code: 0 });
    expect(readFileSync(file, 'utf8').match(/"sidecar stopped"/g)).toHaveLength(1);
  });

  it('stops a process in order that has a terminal to lose', async () => {
    const file = join(folder(), 'log');
    const pid = join(folder(), 'pid');
    const inTerminal = `echo $$ > ${pid}; exec $CLI > ${file}`;
    const terminal = shell(`exec script -qfec '${inTerminal}' /dev/null`, { SHELL: '/bin/bash' });
    await eventually(() => readFileSync(file, 'utf8').includes('sidecar started'));
    process.kill(Number(readFileSync(pid, 'utf8')), 'SIGHUP');
    await eventually(() => readFileSync(file, 'utf8').includes('"sidecar stopped"'));
    await terminal.stop('SIGKILL');
  });
});

describe('the file of a secret that is exchanged for a bad text', () => {
  it('is warned of once by its variable, and the last good one serves on, also for new connections', async () => {
    const { redis } = server;
    const files = { redis: join(folder(), 'url'), token: join(folder(), 'token'), http: join(folder(), 'http') };
    writeFileSync(files.redis, redis.url);
    writeFileSync(files.token, simulator.token);
    writeFileSync(files.http, 'a-good-http-token');
    const { REDIS_URL: _, CFW_AUTH_TOKEN: __, ...env } = environment(redis, simulator);
    const sidecar = start.command(['start'], {
      ...env,
      REDIS_URL_FILE: files.redis,
      CFW_AUTH_TOKEN_FILE: files.token,
      HTTP_TOKEN_FILE: files.http,
    });
    const { url } = await sidecar.logged('sidecar started');
    /** In one step: a look at the file in between would find it empty. */
    const exchange = (file: string, text: string) => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    exchange(files.redis, 'redis://poller:s3cr/et#pw@127.0.0.1:6379\n');
    exchange(files.token, 's3cr\net');
    exchange(files.http, 's3cr');
    const rejected = () => sidecar.log.filter(({ msg }) => msg === 'secret file rejected; last good value kept');
    await eventually(() => rejected().length === 3);
    await redis.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await handle(3);
    const headers = { authorization: 'Bearer a-good-http-token' };
    expect((await fetch(`${url}/v1/jobs/p/j`, { headers })).status).toBe(404);
    expect(
      rejected()
        .map(({ variable }) => variable)
        .sort(),
    ).toEqual(['CFW_AUTH_TOKEN_FILE', 'HTTP_TOKEN_FILE', 'REDIS_URL_FILE']);
    expect(await sidecar.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(sidecar.stdout + sidecar.stderr).not.toMatch(/s3cr/);
  });
});

it.each([
  ['an error that nothing catches', 'throw error'],
  ['a promise that is rejected', 'Promise.reject(error)'],
])('ends with code 1 after %s, and logs it without secrets', async (_what, fail) => {
  const module = join(folder(), 'fail.mjs');
  writeFileSync(
    module,
    `process.on('SIGUSR2', () => {
      const url = 'redis://me:s3cr3t@host';
      const error = Object.assign(new TypeError('Invalid URL ' + url), { code: 'ERR_INVALID_URL', input: url });
      ${fail};
    });`,
  );
  const sidecar = start.command(['start'], {
    ...environment(server.redis, simulator),
    NODE_OPTIONS: `--import=${module}`,
  });
  await sidecar.logged('sidecar started');
  sidecar.process.kill('SIGUSR2');
  expect(await sidecar.exited).toEqual({ code: 1, signal: null });
  expect(sidecar.log.at(-1)).toMatchObject({
    level: 'fatal',
    msg: 'uncaught error',
    err: { message: 'Invalid URL redis://[secret]@host' },
  });
  expect(sidecar.stdout + sidecar.stderr).not.toContain('s3cr3t');
});

it('says in one sentence that Redis is too old, with nothing but JSON in the log', async () => {
  // A Redis as it is but for its version.
  const port = await old(server.redis.url);
  const url = new URL(server.redis.url);
  url.port = String(port);
  const sidecar: Command = start.command(['start'], { ...environment(server.redis, simulator), REDIS_URL: url.href });
  expect(await sidecar.exited).toEqual({ code: 1, signal: null });
  expect(sidecar.stderr).toMatch(/^cfw-job-poller: Redis at \S+ is version 6\.0\.15; expected 6\.2\.0 or newer\n$/);
  for (const line of sidecar.stdout.trim().split('\n')) JSON.parse(line);
});

async function old(redisUrl: string): Promise<number> {
  const proxy = createServer((socket) => {
    const target = connect(Number(new URL(redisUrl).port), '127.0.0.1');
    socket.pipe(target);
    target.on('data', (data) => {
      socket.write(Buffer.from(data.toString('latin1').replace(/redis_version:\d\.\d\.\d+/, replaced), 'latin1'));
    });
    const close = () => {
      socket.destroy();
      target.destroy();
    };
    for (const one of [socket, target]) one.on('error', () => {}).on('close', close);
  });
  await new Promise<void>((resolve) => {
    proxy.listen(0, '127.0.0.1', resolve);
  });
  start.onEnd(() => proxy.close());
  return (proxy.address() as AddressInfo).port;
}

/** The same length, or the protocol breaks. */
const replaced = (text: string) => 'redis_version:6.0.'.padEnd(text.length, '15');
