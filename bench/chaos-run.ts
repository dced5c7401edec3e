/** `npm run chaos [seed]`: everything is killed, again and again; exits with 1 where a job was lost, doubled or wrongly told. */
import { runChaos } from './chaos.js';

const seed = Number(process.argv[2] ?? 1);
const { events, kills, calls, tookMs, wrong } = await runChaos({
  jobs: 2_000,
  workers: 6,
  killEveryMs: 2_000,
  redisRestarts: 2,
  faultShare: 1 / 3,
  medianMs: 10_000,
  seed,
  patienceMs: 600_000,
  say: (line) => process.stdout.write(`${line}\n`),
});
process.stdout.write(
  `seed ${seed}: ${events} events for 2000 jobs after ${Math.round(tookMs / 1_000)} s, ${kills} kills, ${calls} calls\n`,
);
for (const line of wrong) process.stdout.write(`wrong: ${line}\n`);
process.exit(wrong.length === 0 && events === 2_000 ? 0 : 1);
