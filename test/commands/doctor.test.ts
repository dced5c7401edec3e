import { createServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { checkDurability } from '../../src/commands/doctor/durability.js';
import { run } from '../support/command.js';
import { TestRedis, useRedis } from '../support/redis.js';
import { selfSigned } from '../support/self-signed.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis({ appendOnly: true });
const start = useCleanUp();

/** What it prints, by subject: state and text. */
async function doctor(env: Record<string, string>) {
  const { code, stdout, stderr } = await run(['doctor'], env);
  const lines = [...stdout.matchAll(/^(ok|warn|fail) +(\S+(?: \S+)*?) {2,}(.*)$/gm)];
  expect(lines).toHaveLength(stdout.trimEnd().split('\n').length);
  expect(stderr).not.toMatch(/\n\s+at /);
  const of = (subject: string) => {
    const [, state, , text] = lines.find(([, , name]) => name === subject) ?? [];
    return [state, text];
  };
  return { code, of, stdout };
}

describe('cfw-job-poller doctor', () => {
  it('finds nothing wrong where nothing is, and leaves nothing behind', async () => {
    const simulator = await start.simulator();
    const { code, of } = await doctor(environment(server.redis, simulator));
    expect(of('configuration')).toEqual(['ok', 'complete']);
    expect(of('redis')).toEqual(['ok', 'it answers, drops no keys, and has an append-only file']);
    expect(of('redis durability')).toEqual(['ok', expect.stringMatching(/^appendfsync always: /)]);
    expect(of('redis permissions')).toEqual(['ok', 'tried and allowed: hashes, sorted sets, lists, streams, scripts']);
    expect(of('CFW reachability')[0]).toBe('ok');
    expect(of('clock')).toEqual(['ok', 'as that of CFW']);
    expect(of('credentials')).toEqual(['ok', expect.stringMatching(/^token: CFW accepts them \(CFW\.00200005 /)]);
    expect(code).toBe(0);
    expect(simulator.calls()).toBe(1);
    expect(await server.redis.client.keys('*')).toEqual([]);
  });

  it('reports what a crash of Redis may lose, and that it could not look at it', async () => {
    const redis = await TestRedis.start({ appendOnly: true });
    start.onEnd(() => redis.stop());
    await redis.client.config('SET', 'appendfsync', 'everysec');
    const everysec = await doctor({ REDIS_URL: redis.url });
    expect(everysec.of('redis')[0]).toBe('ok');
    expect(everysec.of('redis durability')).toEqual([
      'warn',
      expect.stringMatching(/appendfsync everysec: .*set it to always/),
    ]);

    await redis.client.acl('SETUSER', 'narrow', 'on', '>pw', '~*', '+@all', '-config');
    const url = new URL(redis.url);
    url.username = 'narrow';
    url.password = 'pw';
    const narrow = await doctor({ REDIS_URL: url.href });
    expect(narrow.of('redis durability')).toEqual([
      'warn',
      expect.stringMatching(/appendfsync was not checked \(NOPERM/),
    ]);
    expect(narrow.stdout).not.toMatch(/nothing is lost/);
  });

  it('warns of an append-only file that is not synced during rewrites, and asks a silent Redis no further', async () => {
    const redisWith = (config: (name: string) => string) => ({
      isCluster: false,
      options: { host: 'redis', port: 6379 },
      config: async (_get: string, name: string) => [name, config(name)],
    });
    const settings = new Map([
      ['appendonly', 'yes'],
      ['appendfsync', 'always'],
      ['no-appendfsync-on-rewrite', 'yes'],
    ]);
    expect(await checkDurability(redisWith((name) => settings.get(name) as string) as never)).toEqual([
      { subject: 'redis durability', state: 'warn', text: expect.stringMatching(/rewritten; set it to no/) },
    ]);
    const silent = redisWith(() => {
      throw new Error('Command timed out');
    });
    await expect(checkDurability(silent as never)).rejects.toThrow('Redis does not answer any more');
  });

  it('lists every problem of the configuration, and looks at Redis all the same', async () => {
    const { code, of, stdout } = await doctor({
      REDIS_URL: server.redis.url,
      POLL_TIMEOUT: '1s',
      HTTP_HOST: '0.0.0.0',
    });
    expect(stdout.match(/^fail +configuration/gm)).toHaveLength(3);
    expect(stdout).toMatch(/fail +configuration +HTTP_TOKEN is needed/);
    expect(of('redis')[0]).toBe('ok');
    expect(code).toBe(1);
  });

  it('says what to do about a Redis that may lose jobs, or that does not let us', async () => {
    const simulator = await start.simulator();
    const redis = await TestRedis.start();
    start.onEnd(() => redis.stop());
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru', 'maxmemory', '100mb');
    const lossy = await doctor(environment(redis, simulator));
    expect(lossy.stdout).toMatch(/^fail +redis .*set maxmemory-policy to noeviction/m);
    expect(lossy.stdout).toMatch(/^warn +redis .*set appendonly yes/m);
    expect(lossy.code).toBe(1);

    await redis.client.config('SET', 'maxmemory-policy', 'noeviction', 'maxmemory', '1');
    const full = await doctor(environment(redis, simulator));
    expect(full.stdout).toMatch(/^fail +redis {2,}it refuses writes: OOM /m);
    expect(full.of('redis permissions')).toEqual([undefined, undefined]);
    await redis.client.config('SET', 'maxmemory', '0');

    await redis.client.acl('SETUSER', 'narrow', 'on', '>pw', '~other:*', '+@all', '-info', '-config');
    const url = new URL(redis.url);
    url.username = 'narrow';
    url.password = 'pw';
    const narrow = await doctor({ ...environment(redis, simulator), REDIS_URL: url.href });
    expect(narrow.of('redis')).toEqual(['warn', expect.stringContaining('INFO is not permitted')]);
    expect(narrow.of('redis permissions')).toEqual(['fail', expect.stringMatching(/hashes \(.*\{cfw\}:\*/)]);
    expect(narrow.code).toBe(1);

    const away = await doctor({ ...environment(redis, simulator), REDIS_URL: 'redis://127.0.0.1:1' });
    expect(away.of('redis')).toEqual(['fail', expect.stringMatching(/ECONNREFUSED.*check REDIS_URL/)]);
  });

  it('gives no token to a server that nobody vouches for, also where Node is told to take any certificate', async () => {
    const simulator = await start.simulator();
    let requests = 0;
    const stranger = createHttpsServer(selfSigned(), (_request, response) => {
      requests += 1;
      response.end();
    });
    await new Promise<void>((resolve) => {
      stranger.listen(0, '127.0.0.1', resolve);
    });
    start.onEnd(() => stranger.close());
    const { of, code } = await doctor({
      ...environment(server.redis, simulator),
      CFW_ENDPOINT: `https://127.0.0.1:${(stranger.address() as AddressInfo).port}`,
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
    });
    expect(of('CFW reachability')).toEqual(['fail', expect.stringContaining('DEPTH_ZERO_SELF_SIGNED_CERT')]);
    expect(code).toBe(1);
    expect(requests).toBe(0);
  });

  it('says which credentials are refused, and tries a wrong password once', async () => {
    const simulator = await start.simulator();
    const env = environment(server.redis, simulator);
    const wrongToken = await doctor({ ...env, CFW_AUTH_TOKEN: 'wrong-token-nobody-must-see' });
    expect(wrongToken.of('credentials')).toEqual(['fail', expect.stringMatching(/^APIGW\.0301.*check the token/)]);
    expect(wrongToken.stdout).not.toContain('wrong-token');
    expect(wrongToken.code).toBe(1);

    const { CFW_AUTH_TOKEN: _, ...others } = env;
    const wrongPassword = await doctor({
      ...others,
      OS_AUTH_URL: `${simulator.url}/v3`,
      OS_USERNAME: simulator.iam.user,
      OS_PASSWORD: 'wrong',
      OS_USER_DOMAIN_NAME: simulator.iam.domain,
    });
    expect(wrongPassword.of('IAM reachability')[0]).toBe('ok');
    expect(wrongPassword.of('credentials')).toEqual(['fail', expect.stringContaining('IAM.0062')]);
    expect(simulator.iam.calls).toHaveLength(1);
    const { CFW_PROJECT_ID: __, ...noProject } = env;
    expect((await doctor(noProject)).of('credentials')).toEqual(['warn', expect.stringContaining('CFW_PROJECT_ID')]);
  });

  it('says that CFW cannot be reached, and compares the clocks', async () => {
    const simulator = await start.simulator();
    const env = environment(server.redis, simulator);
    const away = await doctor({ ...env, CFW_ENDPOINT: 'http://127.0.0.1:1' });
    expect(away.of('CFW reachability')).toEqual(['fail', expect.stringMatching(/ECONNREFUSED.*check CFW_ENDPOINT/)]);
    expect(away.of('credentials')).toEqual([undefined, undefined]);
    expect(away.code).toBe(1);

    const hourAhead = createServer((_request, response) => {
      response.setHeader('date', new Date(Date.now() + 3_600_000).toUTCString()).end('{}');
    });
    await new Promise<void>((resolve) => hourAhead.listen(0, '127.0.0.1', resolve));
    start.onEnd(() => hourAhead.close());
    const { port } = hourAhead.address() as AddressInfo;
    const skewed = await doctor({ ...env, CFW_ENDPOINT: `http://127.0.0.1:${port}` });
    expect(skewed.of('clock')).toEqual([
      'fail',
      expect.stringMatching(/3[56]\d\d s behind that of CFW; .*set the clock/),
    ]);
    expect(PROJECT).toBe(env.CFW_PROJECT_ID);
  });
});
