import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { CfwJobProducer } from '../../src/index.js';
import type { Command } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { TestRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const start = useCleanUp();
const JOBS = 2_000;

/** Draws the same numbers each time, from 0 to below 1. */
function random(): () => number {
  let state = 7;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

describe('2,000 jobs that are cancelled while they run and end', () => {
  it('have one event each, by three sidecars that are killed now and then', async () => {
    const redis = await TestRedis.start({ appendOnly: true });
    start.onEnd(() => redis.stop());
    const draw = random();
    const simulator = await start.simulator();
    // Seldom polled, so that the machine has time for the answers: 2,000 jobs are cancelled one by one.
    const pace = { CFW_RATE_LIMIT: '0', POLL_MAX_DELAY: '5s' };
    const env = { ...environment(redis, simulator), ...pace, LOG_LEVEL: 'info' };
    const sidecars: Command[] = [];
    const urls = ['', '', ''];
    const restart = async (n: number) => {
      const sidecar = start.command(['start'], env);
      sidecars[n] = sidecar;
      urls[n] = String((await sidecar.logged('sidecar started')).url);
    };
    await Promise.all([0, 1, 2].map(restart));
    const producer = new CfwJobProducer({ redis: redis.client, projectId: PROJECT });
    start.onEnd(() => producer.close());
    // Every other one ends while all are cancelled; the rest would go on.
    const ids = Array.from({ length: JOBS }, (_, n) => {
      const durationMs = n % 2 === 0 ? draw() * 60_000 : 3_600_000;
      return simulator.addJob({ projectId: PROJECT, durationMs, outcome: 'Success' }).jobId;
    });
    await producer.enqueueMany(ids.map((jobId) => ({ jobId })));

    let left = [...ids];
    const cancelling = Promise.all(
      Array.from({ length: 8 }, async () => {
        for (;;) {
          const [jobId] = left.splice(Math.floor(draw() * left.length), 1);
          if (jobId === undefined) return;
          // A killed sidecar may have cancelled it or not; asking another one is safe.
          await eventually(async () => {
            const url = urls[Math.floor(draw() * 3)];
            const { status } = await fetch(`${url}/v1/jobs/${PROJECT}/${jobId}`, { method: 'DELETE' });
            return status === 200;
          });
          await sleep(draw() * 150);
        }
      }),
    );
    let kills = 0;
    const killing = (async () => {
      // However fast the jobs are cancelled: one for each tenth of them.
      for (let share = 0.9; left.length > 0; share -= 0.1) {
        await eventually(() => left.length <= JOBS * Math.max(0, share), { timeoutMs: 200_000 });
        if (left.length === 0) return;
        const victim = Math.floor(draw() * 3);
        await sidecars[victim]?.kill('SIGKILL');
        kills += 1;
        await restart(victim);
      }
    })();
    await cancelling;
    left = [];
    await killing;
    await sleep(3_000);
    const events = await redis.events();
    expect(events).toHaveLength(JOBS);
    expect(new Set(events.map(({ id }) => id))).toEqual(new Set(ids));
    const cancelled = events.filter(({ data }) => data.reason === 'CANCELLED').length;
    expect(events.filter(({ data }) => data.reason === null)).toHaveLength(JOBS - cancelled);
    expect(cancelled).toBeGreaterThanOrEqual(JOBS / 2);
    expect(kills).toBeGreaterThan(5);
  }, 300_000);
});
