import { setTimeout as sleep } from 'node:timers/promises';
import { binOf, DurationStore } from '../src/schedule/index.js';
import { repeatable } from '../src/simulator/index.js';
import { learn } from './crowd.js';
import { DISTRIBUTIONS, type Distribution } from './distributions.js';
import { mean, quantile } from './numbers.js';
import { memoryOf } from './schedules.js';
import { Setting } from './setting.js';

const IN_FLIGHT = 5_000;
/** Jobs that end after the first of these are counted. */
const [FROM_MS, UNTIL_MS] = [400_000, 700_000];
const DAY_MS = 86_400_000;

/**
 * Thousands of jobs in flight, with a third of the polls that the learned schedule wants, through the real engine. Time runs as
 * in the cloud; so little is done that all runs fit on the machine at the same time.
 */
export async function quota() {
  const rows = await Promise.all(
    DISTRIBUTIONS.slice(0, 2).map(async (distribution) => {
      const wanted = learn(memoryOf(distribution, 500).knowledge(0));
      if (wanted === undefined) throw new Error('too little is known');
      const perSecond = Math.round((IN_FLIGHT * wanted.polls * 1_000) / (wanted.durationMs + wanted.delayMs) / 3);
      const schedules = ['exponential', 'learned'] as const;
      // From their first polls until they are noticed: so as many begin as end from the start, and they are of all ages.
      const spreadMs = wanted.durationMs + 25_000;
      const results = await Promise.all(schedules.map((schedule) => run(distribution, schedule, perSecond, spreadMs)));
      return results.map(({ polls, delayMs, waitedP99Ms, callsPerSecond }, n) => ({
        distribution: distribution.name,
        schedule: schedules[n] as string,
        'quota, polls/s': perSecond,
        'calls/s': callsPerSecond,
        'polls of a job': polls,
        'noticed after, s (mean)': delayMs / 1_000,
        'times exponential': (delayMs / (results[0]?.delayMs as number)).toFixed(2),
        'wait for a turn, s (p99)': waitedP99Ms / 1_000,
      }));
    }),
  );
  return { rows: rows.flat(), conclusions: [`${IN_FLIGHT} jobs in flight`] };
}

async function run(distribution: Distribution, schedule: string, perSecond: number, spreadMs: number) {
  const setting = await Setting.start();
  const random = repeatable(1);
  const memory = new DurationStore({ redis: setting.redis, queueName: 'cfw-jobs', queuePrefix: '{cfw}' });
  for (let n = 0; n < 500; n += 1) {
    const bin = binOf(distribution.draw(random));
    if (bin !== undefined) await memory.learn({ kind: 'ended', bin }, DAY_MS, Date.now() - DAY_MS);
  }
  await setting.sidecar({
    POLL_SCHEDULE: schedule,
    CFW_RATE_LIMIT: `${perSecond}`,
  });
  await sleep(2_000);

  const begun = Date.now();
  const jobs = new Map<string, number>();
  const waited: number[] = [];
  let calls: { at: number; count: number } | undefined;
  for (let now = 0; now < UNTIL_MS; now = Date.now() - begun) {
    const ended = await setting.redis.xlen('{cfw}:events');
    const count = Math.min(1, now / spreadMs) * IN_FLIGHT + ended - jobs.size;
    if (count >= 1) {
      const durations = Array.from({ length: Math.floor(count) }, () => distribution.draw(random));
      const made = await setting.makeJobs(durations.length, (n) => ({
        durationMs: durations[n] as number,
        timeFormat: 'epoch',
      }));
      const endsAt = Date.now();
      for (const [n, jobId] of made.entries()) jobs.set(jobId, endsAt + (durations[n] as number));
      await setting.enqueue(made);
    }
    if (now >= FROM_MS) {
      calls ??= { at: Date.now(), count: await setting.calls() };
      waited.push(((await setting.redis.llen('{cfw}:cfw-jobs:wait')) / perSecond) * 1_000);
    }
    await sleep(100);
  }
  const seconds = (Date.now() - (calls?.at ?? 0)) / 1_000;
  const callsPerSecond = ((await setting.calls()) - (calls?.count ?? 0)) / seconds;
  const late: number[] = [];
  const polls: number[] = [];
  for (const [, fields] of await setting.redis.xrange('{cfw}:events', '-', '+')) {
    const field = (name: string) => fields[fields.indexOf(name) + 1] as string;
    const publishedAt = Date.parse(field('time'));
    if (publishedAt - begun < FROM_MS) continue;
    late.push(publishedAt - (jobs.get(field('subject')) as number));
    polls.push((JSON.parse(field('data')) as { polls: number }).polls);
  }
  await setting.stop();
  return { polls: mean(polls), delayMs: mean(late), waitedP99Ms: quantile(waited, 0.99), callsPerSecond };
}
