import { afterEach, describe, expect, it } from '@jest/globals';
import { inspectRedis } from '../../src/redis/fitness.js';
import { Command } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { cfwEnvironment, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
const set = async (name: string, value: string) => await server.redis.client.config('SET', name, value);

afterEach(async () => {
  await set('maxmemory', '0');
  await set('maxmemory-policy', 'noeviction');
});

describe('a look at Redis', () => {
  it('warns of one without an append-only file, and says what to set', async () => {
    const findings = await inspectRedis(server.redis.client);
    expect(findings).toEqual([{ severity: 'warn', message: expect.stringContaining('set appendonly yes') }]);
  });

  it('refuses one that drops keys when memory is short, and warns of one that would', async () => {
    await set('maxmemory-policy', 'volatile-lru');
    expect((await inspectRedis(server.redis.client))[0]).toMatchObject({ severity: 'warn' });
    await set('maxmemory', '1gb');
    expect((await inspectRedis(server.redis.client))[0]).toEqual({
      severity: 'refuse',
      message: expect.stringMatching(
        /^Redis at 127\.0\.0\.1:\d+ drops keys .*volatile-lru.* set maxmemory-policy to noeviction$/,
      ),
    });
  });

  const redisWith = (info: string) => ({
    isCluster: false,
    options: { host: 'redis', port: 6379 },
    info: async () => info,
  });

  it('warns of what INFO does not show', async () => {
    expect(await inspectRedis(redisWith('# Server\r\nredis_version:7.2.4\r\n') as never)).toEqual([
      {
        severity: 'warn',
        message: expect.stringMatching(/INFO does not show maxmemory_policy, aof_enabled, so it cannot/),
      },
    ]);
    expect(await inspectRedis(redisWith('') as never)).toMatchObject([{ severity: 'warn' }]);
  });

  it('refuses an old one', async () => {
    const answers = (version: string) =>
      redisWith(`# Server\r\nredis_version:${version}\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n`);
    const refused = await inspectRedis(answers('6.0.16') as never);
    expect(refused).toEqual([
      { severity: 'refuse', message: 'Redis at redis:6379 is version 6.0.16; expected 6.2.0 or newer' },
    ]);
    for (const version of ['6.2.0', '7.0.15', '10.0.0'])
      expect(await inspectRedis(answers(version) as never)).toEqual([]);
  });

  it('ends the sidecar where Redis must not be used, and lets it go on with a warning otherwise', async () => {
    const simulator = await start.simulator();
    const env = { ...cfwEnvironment(simulator), REDIS_URL: server.redis.url };
    const sound = new Command(['start'], env);
    start.onEnd(() => sound.kill('SIGKILL'));
    const warned = () => sound.log.some(({ level, msg }) => level === 'warn' && String(msg).includes('append-only'));
    await eventually(warned, { what: 'the warning of no append-only file' });
    await set('maxmemory-policy', 'allkeys-lru');
    await set('maxmemory', '1gb');
    const refused = new Command(['start'], env);
    start.onEnd(() => refused.kill('SIGKILL'));
    expect((await refused.exited).code).toBe(1);
    expect(refused.stderr).toMatch(/^cfw-job-poller: Redis at \S+ drops keys when memory is short \(allkeys-lru\)/m);
    expect((await sound.kill('SIGTERM')).code).toBe(0);
  });
});
