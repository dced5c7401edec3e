/** `npm run soak -- [--minutes 10] [--jobs 20000] [--seed 1]`: exits with 1 if anything is not as it must be. */
import { parseArgs } from 'node:util';
import { runSoak } from './soak.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    jobs: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
  },
});
const [minutes, jobs, seed] = [values.minutes, values.jobs, values.seed].map(Number) as [number, number, number];
if (!(minutes > 0 && jobs > 0 && Number.isInteger(jobs) && Number.isInteger(seed))) {
  process.stderr.write('allowed are --minutes N, --jobs N and --seed N, whole numbers; minutes may be a fraction\n');
  process.exit(2);
}
const say = (line: string) => process.stdout.write(`${new Date().toISOString().slice(11, 19)}  ${line}\n`);
const { events, calls, tookMs, faults, numbers, wrong } = await runSoak({ minutes, jobs, seed, say });
say(`seed ${seed}: ${events} events for ${jobs} jobs after ${Math.round(tookMs / 1_000)} s, ${calls} calls`);
for (const [what, count] of Object.entries({ ...faults, ...numbers })) say(`${what}: ${count}`);
for (const line of wrong.slice(0, 50)) say(`wrong: ${line}`);
if (wrong.length > 0) say(`${wrong.length} things are wrong`);
process.exit(wrong.length === 0 && events === jobs ? 0 : 1);
