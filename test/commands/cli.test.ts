import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { startPrivateRedis } from '../../src/demo/private-redis.js';
import { CLI, run } from '../support/command.js';
import { append } from '../support/events.js';
import { eventually } from '../support/eventually.js';
import { TestRedis, useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
beforeEach(async () => {
  await server.redis.client.flushall();
});
const base = () => ({ REDIS_URL: server.redis.url, CFW_PROJECT_ID: PROJECT });
const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/** What a shell makes of a script in which `$CLI` is the command. */
const shell = (script: string) => {
  const env = { PATH: process.env.PATH, ...base(), CLI: `${process.execPath} ${CLI}` };
  const { status, stderr } = spawnSync('bash', ['--norc', '-c', `set -o pipefail; ${script}`], {
    env,
    cwd: tmpdir(),
    encoding: 'utf8',
  });
  return { code: status, stderr };
};

describe('standard output', () => {
  it('that is closed has been read enough: watch | head ends quietly with code 0', async () => {
    await append(server.redis.client, ...Array.from({ length: 2_000 }, (_, n) => `job-${n}`));
    expect(shell('$CLI watch --from-start --json | head -n 1')).toEqual({ code: 0, stderr: '' });
    expect(shell('$CLI --help | true')).toEqual({ code: 0, stderr: '' });
  });

  it('on a disk that is full is said in one line, with code 1', () => {
    const { code, stderr } = shell('$CLI enqueue a > /dev/full');
    expect(stderr).toMatch(/^cfw-job-poller: .*ENOSPC.*\n$/);
    expect(code).toBe(1);
    expect(shell('$CLI enqueue a/b 2> /dev/full').code).toBe(2);
    // Each page would say it.
    shell('seq 1 500 | $CLI enqueue - > /dev/null');
    expect(shell('$CLI list --limit 500 > /dev/full')).toEqual({ code: 1, stderr });
  });

  it('whose reader has stalled holds little of what watch prints, and SIGTERM ends it', async () => {
    const ids = Array.from({ length: 20_000 }, (_, n) => `job-${n}-${'x'.repeat(50)}`);
    await append(server.redis.client, ...ids);
    const command = start.command(['watch', '--from-start', '--json'], base());
    await eventually(() => command.stdout !== '');
    command.process.stdout?.pause();
    const taken = () => Number(/^rchar: (\d+)/m.exec(readFileSync(`/proc/${command.process.pid}/io`, 'utf8'))?.[1]);
    // It stops reading from Redis once its reader takes nothing.
    await eventually(async () => {
      const before = taken();
      await sleep(1_000);
      return taken() - before < 10_000;
    });
    expect(taken()).toBeLessThan(15_000_000);
    const begun = performance.now();
    command.process.kill('SIGTERM');
    await once(command.process, 'exit');
    expect(performance.now() - begun).toBeLessThan(8_000);
  });
});

describe('the command', () => {
  it.each([[['--help']], [['start', '--help']], [['help', 'enqueue']], [['demo', '--help']]])(
    'explains itself: %j',
    async (args) => {
      const { code, stdout } = await run(args);
      expect(code).toBe(0);
      expect(stdout).toContain('Usage: cfw-job-poller');
    },
  );

  it('tells its version', async () => {
    expect(await run(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each([
    [[], /Usage/],
    [['no-such-command'], /unknown command/],
    [['enqueue'], /missing required argument 'jobId'/],
    [['enqueue', 'x', '--timeout', 'soon'], /Expected a duration: 250ms/],
    [['enqueue', 'x', '--metadata', '[1]'], /Expected a JSON object/],
    [['enqueue', 'x', '--project', '../x'], /1 to 64 characters/],
    [['watch', '--until-idle', '0'], /Expected a duration/],
    [['simulator', '--port', '70000'], /0 to 65535/],
    [['status', 'a/b'], /1 to 64 characters/],
    [['dead', 'drop', '99999999999999999999-1'], /Expected the id of a dead letter/],
  ])('answers wrong usage with code 2 and says what is allowed: %j', async (args, message) => {
    const { code, stderr } = await run(args, base());
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(2);
  });

  it('lists every problem of the configuration at once, without a stack trace', async () => {
    const { code, stdout, stderr } = await run(['start'], {
      CFW_ENDPOINT: 'http://cfw.example.com',
      POLL_TIMEOUT: 'forever',
      REDIS_URL: 'http://user:hunter2@redis',
      HTTP_HOST: '0.0.0.0',
    });
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('expected redis://[user:password@]host[:port][/db]');
    for (const name of ['CFW_AUTH_TOKEN', 'POLL_TIMEOUT', 'REDIS_URL', 'HTTP_TOKEN']) expect(stderr).toContain(name);
    expect(stderr).not.toContain('hunter2');
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it.each<Record<string, string>>([
    { CFW_ENDPOINT: 'https://cfw.example.com' },
    { OS_AUTH_URL: 'https://iam.example.com' },
    { CFW_ENDPOINT: 'https://cfw.example.com', OS_AUTH_URL: 'https://iam.example.com', OS_PASSWORD: 'p' },
  ])('names an invalid proxy among all other problems, once: %j', async (where) => {
    const { code, stderr } = await run(['start'], {
      ...where,
      HTTPS_PROXY: 'socks5://u:hunter2@proxy',
      POLL_TIMEOUT: 'forever',
    });
    expect(code).toBe(2);
    expect(stderr).toMatch(/POLL_TIMEOUT: "forever" is invalid/);
    expect(stderr.match(/HTTPS_PROXY is invalid/g)).toHaveLength(1);
    expect(stderr).not.toContain('hunter2');
  });

  it('says in one line that Redis cannot be reached', async () => {
    const { code, stderr } = await run(['enqueue', 'x'], { ...base(), REDIS_URL: 'redis://127.0.0.1:1' });
    expect(stderr).toBe('cfw-job-poller: Redis at 127.0.0.1:1 cannot be used: connect ECONNREFUSED 127.0.0.1:1\n');
    expect(code).toBe(1);
  });

  it('does not wait for ever for a Redis that takes connections and is silent, and Ctrl-C ends it at once', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket.on('error', () => {})));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    start.onEnd(() => {
      for (const socket of sockets) socket.destroy();
      silent.close();
    });
    const redis = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const env = { ...base(), REDIS_URL: `redis://${redis}` };
    const stopped = start.command(['enqueue', 'x'], env);
    await eventually(() => sockets.length > 0);
    expect(await stopped.kill('SIGINT')).toEqual({ code: null, signal: 'SIGINT' });
    const cluster = await startPrivateRedis({ args: ['--cluster-enabled', 'yes'] });
    start.onEnd(() => cluster.stop());
    // It answers PING, and reads of it are tried again for as long as a service runs.
    const down = { ...base(), REDIS_URL: cluster.url };
    const [server, sentinel, noSlots, ...readers] = await Promise.all([
      run(['status', 'x'], env),
      run(['status', 'x'], { CFW_PROJECT_ID: PROJECT, REDIS_SENTINELS: redis, REDIS_SENTINEL_NAME: 'm' }),
      // ioredis never answers for a Cluster that is down; Node would end with code 0 then.
      run(['enqueue', 'x'], {
        CFW_PROJECT_ID: PROJECT,
        REDIS_CLUSTER: `127.0.0.1:${cluster.port}`,
        REDIS_PASSWORD: cluster.password,
      }),
      run(['watch', '--until-idle', '1s'], down),
      run(['watch', '--from-start', '--json'], down),
      run(['wait', 'x', '--timeout', '9s'], down),
    ]);
    for (const reader of readers) {
      expect(reader.stderr).toMatch(/^cfw-job-poller: Redis at \S+ cannot be used: CLUSTERDOWN .*\n$/);
      expect(reader.code).toBe(1);
    }
    expect(server.stderr).toBe(`cfw-job-poller: Redis at ${redis} cannot be used: no answer within 5 s\n`);
    expect(sentinel.stderr).toMatch(/^cfw-job-poller: Redis "m" by the Sentinels at \S+ cannot be used: .*\n$/);
    expect(noSlots.stderr).toMatch(/^cfw-job-poller: Redis Cluster at \S+ cannot be used: .*\n$/);
    expect([server.code, sentinel.code, noSlots.code]).toEqual([1, 1, 1]);
  });

  it.each([
    ['no ids', ['-'], /no job ids were given/],
    ['an id', ['a b'], /jobs\[0\]\.jobId must be 1 to 64 characters/],
    ['several ids', ['a', 'b/c', 'd', ''], /jobs\[1\]\.jobId must be .*jobs\[3\]\.jobId must be/],
    ['a timeout', ['a', '--timeout', '3d'], /timeoutMs must be at most 86400000 \(24 h\)/],
    [
      'metadata',
      ['a', '--metadata', JSON.stringify({ a: 'x'.repeat(4_096) })],
      /metadata must have at most 4096 bytes/,
    ],
  ])('says what is wrong with %s before it asks Redis', async (_what, args, message) => {
    const { code, stderr } = await run(['enqueue', ...args], { ...base(), REDIS_URL: 'redis://127.0.0.1:1' });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/Redis at/);
    expect(code).toBe(2);
  });

  it('says in one line that Redis is a replica, where it would have to write', async () => {
    const replica = await TestRedis.start();
    start.onEnd(() => replica.stop());
    await replica.client.replicaof('127.0.0.1', Number(new URL(server.redis.url).port));
    const env = { ...base(), REDIS_URL: replica.url };
    const where = `Redis at ${new URL(replica.url).host}`;
    const sentence = `${where} is a replica, which takes no writes: point REDIS_URL to its master`;
    const [enqueue, doctor, status, dead] = await Promise.all([
      run(['enqueue', 'x'], env),
      run(['doctor'], env),
      run(['status', 'x'], env),
      run(['dead', 'list'], env),
    ]);
    expect(enqueue).toEqual({ code: 1, stdout: '', stderr: `cfw-job-poller: ${sentence}\n` });
    expect([doctor.code, doctor.stdout.match(/^fail +redis\b.*/gm)]).toEqual([1, [expect.stringContaining(sentence)]]);
    // Reading is what a replica is for.
    expect([status.code, status.stderr]).toEqual([1, expect.stringMatching(/is not known/)]);
    expect(dead.code).toBe(0);
  });

  it('does not take another database when the one of REDIS_URL is refused', async () => {
    const env = { ...base(), REDIS_URL: `${server.redis.url}/99` };
    const refusal = 'ERR DB index is out of range';
    const cfw = { CFW_ENDPOINT: 'http://127.0.0.1:1', CFW_AUTH_TOKEN: 'token', HTTP_PORT: '0' };
    const sidecar = start.command(['start'], { ...env, ...cfw });
    const { code, stderr } = await run(['enqueue', 'x'], env);
    expect(stderr).toMatch(new RegExp(`^cfw-job-poller: Redis at \\S+ cannot be used: ${refusal}\\n$`));
    expect(code).toBe(1);
    expect(await sidecar.logged('redis connection lost')).toMatchObject({ error: refusal });
    expect(await server.redis.client.keys('*')).toEqual([]);
  });

  it('says plainly that a password is missing, and that what answers is not Redis', async () => {
    const web = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    start.onEnd(() => web.close());
    const url = new URL(server.redis.url);
    url.password = '';
    const [noPassword, noRedis] = await Promise.all([
      run(['list'], { REDIS_URL: url.href }),
      run(['list'], { REDIS_URL: `redis://127.0.0.1:${(web.address() as AddressInfo).port}` }),
    ]);
    expect(noPassword.stderr).toMatch(/cannot be used: it asks for a password \(NOAUTH\), and none is configured\n$/);
    expect(noRedis.stderr).toMatch(/cannot be used: what answers there is not Redis\n$/);
    expect([noPassword.code, noRedis.code]).toEqual([1, 1]);
  });

  it('does not read standard input without an end', () => {
    const { code, stderr } = shell('yes | $CLI enqueue -');
    expect([code, stderr]).toEqual([2, expect.stringMatching(/standard input has more than 100000000 bytes\n/)]);
  });

  it('reads hundreds of thousands of ids', async () => {
    const ids = Array.from({ length: 200_000 }, (_, n) => `not/${n}`).join('\n');
    const { code, stderr } = await run(['enqueue', '-'], base(), ids);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/nothing was enqueued: .*; and 199980 more\n$/)]);
  });

  it('enqueues, also from standard input, all or none', async () => {
    const one = await run(['enqueue', 'a', '-', '--metadata', '{"order":1}'], base(), 'b\nc d\n');
    expect(one.code).toBe(0);
    expect(one.stdout.split('\n').filter(Boolean)).toEqual(
      ['a', 'b', 'c', 'd'].map((id) => `queued     ${PROJECT}/${id}`),
    );
    const queue = start.rawQueue(server.redis);
    expect((await queue.getJob(`${PROJECT}.c`))?.data).toMatchObject({ jobId: 'c', metadata: { order: 1 } });

    const bad = await run(['enqueue', 'e', 'f/g', '--timeout', '3d'], base());
    expect(bad.code).toBe(2);
    expect(bad.stderr).toMatch(/nothing was enqueued: .*timeoutMs must be at most.*jobs\[1\]\.jobId must be/);
    expect(await queue.getWaitingCount()).toBe(4);
  });

  it('does the whole way: start, enqueue, status, watch, enqueue --again', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0, outcome: 'Success' });
    const env = environment(server.redis, simulator);
    const sidecar = start.command(['start'], env);
    await sidecar.logged('sidecar started');
    expect((await run(['status', jobId], env)).code).toBe(1);
    await run(['enqueue', jobId], env);
    await sidecar.logged('job completed');

    const status = await run(['status', jobId], env);
    expect(status.code).toBe(0);
    expect(status.stdout).toMatch(/^state +completed$/m);

    const again = await run(['enqueue', jobId], env);
    expect(again.stdout).toMatch(/^completed .*--again/);
    expect((await run(['enqueue', jobId, '--again'], env)).stdout).toMatch(/^queued .* watch [0-9a-f-]{36}/);
    await eventually(async () => (await server.redis.events()).length === 2);

    const json = await run(['watch', '--from-start', '--json', '--until-idle', '2s'], env);
    expect(json.code).toBe(0);
    const events = json.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
    expect(events).toEqual(await server.redis.events());
    const plain = await run(['watch', '--from-start', '--until-idle', '2s'], env);
    // In a pipe: no colours, no heading, one line for each event.
    expect(plain.stdout.split('\n')[0]).toMatch(/^\S+Z {2}completed {2}- +1 +\S+ {2}\S+$/);
    expect(plain.stdout.split('\n').filter(Boolean)).toHaveLength(2);
    expect(await sidecar.kill('SIGTERM')).toEqual({ code: 0, signal: null });
  });
});
