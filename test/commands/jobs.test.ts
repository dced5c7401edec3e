import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { run } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { startProxy } from '../support/proxy.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
beforeEach(async () => {
  await server.redis.client.flushall();
});
const base = () => ({ REDIS_URL: server.redis.url, CFW_PROJECT_ID: PROJECT });

describe('list, wait and cancel', () => {
  it('show jobs, wait for their ends and stop watching, with exit codes that say how it went', async () => {
    const simulator = await start.simulator();
    const env = environment(server.redis, simulator);
    await start.sidecar(env);
    const job = (outcome: 'Success' | 'Failed', durationMs: number) =>
      simulator.addJob({ projectId: PROJECT, outcome, durationMs }).jobId;
    const [good, bad, long] = [job('Success', 1_500), job('Failed', 0), job('Success', 600_000)];
    const waited = await run(['enqueue', '--wait', good], base());
    expect([waited.code, waited.stdout]).toEqual([0, expect.stringContaining(`completed  -`)]);
    expect((await run(['enqueue', '-'], base(), `${bad} ${long}`)).code).toBe(0);
    await eventually(async () => (await server.redis.events()).length === 2);

    const [all, failed, out, unknown] = await Promise.all([
      run(['list', '--json'], base()),
      run(['wait', '--json', '-'], base(), `${good}\n${bad}\n`),
      run(['wait', long, '--timeout', '1s'], base()),
      run(['wait', 'unknown', good], base()),
    ]);
    const listed = all.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(listed.map(({ jobId, state }) => [jobId, state])).toEqual([
      [long, 'polling'],
      [bad, 'failed'],
      [good, 'completed'],
    ]);
    expect(failed.code).toBe(1);
    expect(
      failed.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).id)
        .sort(),
    ).toEqual([good, bad].sort());
    expect([out.code, out.stderr]).toEqual([3, expect.stringContaining('has not ended within 1.0s')]);
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('is not known')]);

    const cancelled = await run(['cancel', long, good, 'unknown'], base());
    expect(cancelled.code).toBe(1);
    expect(cancelled.stdout).toMatch(/^cancelled .*\nended .*completed before.*\nunknown /);
    const status = await run(['status', long, '--json'], base());
    expect(JSON.parse(status.stdout)).toMatchObject({ state: 'failed', event: { data: { reason: 'CANCELLED' } } });
    const list = await run(['list', '--state', 'failed', '--limit', '1'], base());
    expect(list.stdout).toMatch(new RegExp(`^failed .* CANCELLED .*${long}\\n$`));
  });

  it.each([['wait', 'job-1'], ['watch']])('%s says once that Redis went away, and waits for it', async (...args) => {
    const url = new URL(server.redis.url);
    const proxy = await startProxy(Number(url.port));
    start.onEnd(() => proxy.stop());
    url.port = String(proxy.port);
    await run(['enqueue', 'job-1'], base());
    const command = start.command(args, { ...base(), REDIS_URL: url.href });
    const reads = async () => / cmd=xread /.test(String(await server.redis.client.client('LIST')));
    await eventually(reads, { what: 'its read' });
    await proxy.stop();
    await eventually(() => command.stderr !== '', { what: 'what it says' });
    // Time for more tries.
    await sleep(500);
    expect(command.stderr).toMatch(/^Redis cannot be read, waiting for it: .*ECONNREFUSED.*\n$/);
    expect(command.process.exitCode).toBe(null);
  });

  it.each([
    [['wait', 'a b'], /"a b" is no job id/],
    [['cancel', '../x'], /is no job id/],
    [['list', '--state', 'running'], /Allowed choices are queued, polling/],
    [['list', '--limit', '0'], /whole number/],
    [['wait', 'x', '--timeout', 'soon'], /Expected a duration/],
  ])('answer wrong usage before anything is asked: %j', async (args, message) => {
    const { code, stderr } = await run(args, { ...base(), REDIS_URL: 'redis://127.0.0.1:1' });
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});
