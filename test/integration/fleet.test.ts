import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Command } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
beforeEach(async () => {
  await server.redis.client.flushall();
});

async function startSidecars(count: number, env: Record<string, string> = {}) {
  const simulator = await start.simulator();
  const sidecars = Array.from({ length: count }, () =>
    start.command(['start'], { ...environment(server.redis, simulator), ...env }),
  );
  const urls = await Promise.all(sidecars.map(async (one) => (await one.logged('sidecar started')).url as string));
  const metric = async (n: number, name: string) => {
    const text = await (await fetch(`${urls[n]}/metrics`)).text();
    return Number(new RegExp(`^cfw_job_poller_${name} (\\S+)$`, 'm').exec(text)?.[1]);
  };
  const housekeeper = () =>
    eventually(async () => {
      const are = await Promise.all(
        sidecars.map((one, n) => (one.process.exitCode ?? one.process.signalCode) === null && metric(n, 'housekeeper')),
      );
      const index = are.indexOf(1);
      return index === -1 ? undefined : { command: sidecars[index] as Command, index };
    });
  return { simulator, sidecars, metric, housekeeper };
}

describe('a fleet of sidecars', () => {
  it('ends jobs at their deadlines within 4 s, also if the housekeeper is killed just then', async () => {
    const { housekeeper } = await startSidecars(3);
    const queue = start.rawQueue(server.redis);
    await queue.pause();
    const { command } = (await housekeeper()) ?? {};
    const timeoutMs = 4_000;
    await queue.addBulk(
      Array.from({ length: 50 }, (_, n) => ({
        name: 'x',
        data: { jobId: `j${n}`, projectId: PROJECT, timeoutMs },
        opts: { jobId: `${PROJECT}.j${n}` },
      })),
    );
    await sleep(timeoutMs - 200);
    await command?.kill('SIGKILL');
    const events = await server.redis.waitForEvents(50);
    for (const { time, data } of events) {
      expect(data.reason).toBe('TIMED_OUT');
      // The rest is for a machine that stalls.
      expect(Date.parse(time) - Date.parse(data.enqueuedAt) - timeoutMs).toBeLessThan(7_000);
    }
    expect((await housekeeper()) === undefined).toBe(false);
  });

  it('shares the rate, and uses the share of one that was killed', async () => {
    const { simulator, sidecars, metric } = await startSidecars(3, {
      CFW_RATE_LIMIT: '30',
      POLL_SCHEDULE: 'exponential',
    });
    const ids = Array.from(
      { length: 200 },
      () => simulator.addJob({ projectId: PROJECT, durationMs: 60_000, outcome: 'Success' }).jobId,
    );
    await start.rawQueue(server.redis).addBulk(
      ids.map((jobId) => ({
        name: 'x',
        data: { jobId, projectId: PROJECT },
        opts: { jobId: `${PROJECT}.${jobId}` },
      })),
    );
    const shares = (of: number[]) => Promise.all(of.map((n) => metric(n, 'rate_share')));
    await eventually(async () => (await shares([0, 1, 2])).every((share) => share === 10));
    await sidecars[0]?.kill('SIGKILL');
    await eventually(async () => (await shares([1, 2])).every((share) => share === 15), { timeoutMs: 10_000 });
    const [before, begunAt] = [simulator.calls(), performance.now()];
    await sleep(3_000);
    const [calls, seconds] = [simulator.calls() - before, (performance.now() - begunAt) / 1_000];
    // What a stall has kept from arriving before comes on top.
    expect(calls).toBeLessThanOrEqual(30 * (seconds + 1) * 1.05 + 2);
    expect(calls).toBeGreaterThan(30);
  });
});
