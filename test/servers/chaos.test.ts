import { expect, it } from '@jest/globals';
import { runChaos } from '../../bench/chaos.js';

it('nothing is lost, nothing is said twice, nothing is told wrong, whatever is killed', async () => {
  const { events, kills, wrong } = await runChaos({
    jobs: 150,
    workers: 2,
    killEveryMs: 2_000,
    redisRestarts: 1,
    faultShare: 1 / 3,
    medianMs: 4_000,
    seed: 1,
    patienceMs: 150_000,
  });
  expect(wrong).toEqual([]);
  expect(events).toBe(150);
  expect(kills).toBeGreaterThan(2);
}, 180_000);
