import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
beforeEach(async () => {
  await server.redis.client.flushall();
});

const SHIM = fileURLToPath(new URL('../support/clock-shim.mjs', import.meta.url));
const MINUTES_3 = 180_000;

/** A sidecar on a machine whose clock is ahead by so much, and how to set it. */
async function sidecarWithClock(aheadMs: number) {
  const simulator = await start.simulator();
  const folder = await mkdtemp(join(tmpdir(), 'clock-'));
  start.onEnd(() => rm(folder, { recursive: true }));
  const file = join(folder, 'ahead');
  const setClock = (ms: number) => writeFile(file, `${ms}`);
  await setClock(aheadMs);
  const sidecar = start.command(['start'], {
    ...environment(server.redis, simulator),
    POLL_SCHEDULE: 'exponential',
    NODE_OPTIONS: `--import=${SHIM}`,
    CLOCK_FILE: file,
  });
  await sidecar.logged('sidecar started');
  const enqueue = async (jobId: string, durationMs: number, timeoutMs = 60_000) => {
    simulator.addJob({ projectId: PROJECT, jobId, durationMs, outcome: 'Success' });
    const data = { jobId, projectId: PROJECT, timeoutMs };
    await start.rawQueue(server.redis).add('x', data, { jobId: `${PROJECT}.${jobId}` });
  };
  const polls = (jobId: string) => simulator.jobs().find((job) => job.jobId === jobId)?.callTimes ?? [];
  return { setClock, enqueue, polls };
}

describe("a machine's clock", () => {
  it.each([
    ['ahead', MINUTES_3],
    ['behind', -MINUTES_3],
  ])('may be 3 minutes %s, and set right: jobs are polled as before, and none times out', async (_, wrongMs) => {
    const { setClock, enqueue, polls } = await sidecarWithClock(wrongMs);
    await enqueue('a', 2_000);
    await server.redis.waitForEvents(1);
    // At 0, 0.1, 0.3, 0.5 … s: no job is due earlier by a wrong clock.
    expect(polls('a').length).toBeLessThan(12);
    await enqueue('b', 4_000);
    await eventually(() => polls('b').length > 2);
    await setClock(0);
    await server.redis.waitForEvents(2);
    await enqueue('c', 1_000);
    const events = await server.redis.waitForEvents(3);
    expect(events.map(({ type }) => type)).toEqual(Array(3).fill('cfw.job.completed'));
    expect(polls('b').length).toBeLessThan(20);
  });

  it.each([
    ['ahead', MINUTES_3],
    ['back', -MINUTES_3],
  ])('may jump 3 minutes %s while jobs are polled', async (_, jumpMs) => {
    const { setClock, enqueue, polls } = await sidecarWithClock(0);
    await enqueue('a', 4_000);
    await enqueue('b', 5_000);
    await eventually(() => polls('b').length > 2);
    await setClock(jumpMs);
    const events = await server.redis.waitForEvents(2);
    expect(events.map(({ type }) => type)).toEqual(Array(2).fill('cfw.job.completed'));
  });
});
