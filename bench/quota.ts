import { setTimeout as sleep } from 'node:timers/promises';
import { DurationMemory } from '../src/learning/index.js';
import { binOf } from '../src/polling/index.js';
import { repeatable } from '../src/simulator/index.js';
import { learn } from './crowd.js';
import { DISTRIBUTIONS, type Distribution } from './distributions.js';
import { mean, quantile } from './numbers.js';
import { memoryOf } from './schedules.js';
import type { Setting } from './setting.js';

/** Everything happens so many times faster than in the cloud: 3 minutes become 36 seconds. */
const SCALE = 5;
const IN_FLIGHT = 5_000;
/** In the cloud's time: jobs begin spread over the first of these, and those that end after the second are counted. */
const [SPREAD_MS, FROM_MS, UNTIL_MS] = [240_000, 400_000, 700_000];
const DAY_MS = 86_400_000;

/** Thousands of jobs in flight, with a third of the polls that the learned schedule wants, through the real engine. */
export async function quota(setting: Setting) {
  const rows = [];
  for (const distribution of DISTRIBUTIONS.slice(0, 2)) {
    const wanted = learn(memoryOf(distribution, 500).knowledge(0));
    if (wanted === undefined) throw new Error('too little is known');
    const perSecond = (IN_FLIGHT * wanted.polls * 1_000) / (wanted.durationMs + wanted.delayMs) / 3;
    const delays: number[] = [];
    for (const schedule of ['exponential', 'learned']) {
      const { polls, delayMs, waitedP99Ms, callsPerSecond } = await run(setting, distribution, schedule, perSecond);
      delays.push(delayMs);
      rows.push({
        distribution: distribution.name,
        schedule,
        'quota, polls/s': perSecond,
        'calls/s': callsPerSecond,
        'polls of a job': polls,
        'noticed after, s (mean)': delayMs / 1_000,
        'times exponential': ((delays.at(-1) as number) / (delays[0] as number)).toFixed(2),
        'wait for a turn, s (p99)': waitedP99Ms / 1_000,
      });
      await setting.reset();
    }
  }
  return {
    rows,
    conclusions: [`${IN_FLIGHT} jobs in flight; time runs ${SCALE} times faster, figures are in the cloud's time`],
  };
}

async function run(setting: Setting, distribution: Distribution, schedule: string, perSecond: number) {
  const random = repeatable(1);
  const rate = Math.round(perSecond * SCALE);
  const memory = new DurationMemory({ redis: setting.redis, queueName: 'cfw-jobs', queuePrefix: '{cfw}' });
  for (let n = 0; n < 500; n += 1) {
    const bin = binOf(distribution.draw(random) / SCALE);
    if (bin !== undefined) await memory.learn({ kind: 'ended', bin }, DAY_MS, Date.now() - DAY_MS);
  }
  await setting.sidecar({
    POLL_SCHEDULE: schedule,
    POLL_INITIAL_DELAY: `${1_000 / SCALE}`,
    POLL_MAX_DELAY: `${10_000 / SCALE}`,
    POLL_PRICE: `${500 / SCALE}`,
    CFW_RATE_LIMIT: `${rate}`,
    TIME_SCALE: `${SCALE}`,
  });
  await sleep(2_000);

  const begun = Date.now();
  const jobs = new Map<string, number>();
  const waited: number[] = [];
  let calls: { at: number; count: number } | undefined;
  for (let now = 0; now < UNTIL_MS; now = (Date.now() - begun) * SCALE) {
    const ended = await setting.redis.xlen('{cfw}:events');
    const count = Math.min(1, now / SPREAD_MS) * IN_FLIGHT + ended - jobs.size;
    if (count >= 1) {
      const durations = Array.from({ length: Math.floor(count) }, () => distribution.draw(random) / SCALE);
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
      waited.push(((await setting.redis.llen('{cfw}:cfw-jobs:wait')) / rate) * 1_000 * SCALE);
    }
    await sleep(100);
  }
  const seconds = (Date.now() - (calls?.at ?? 0)) / 1_000;
  const callsPerSecond = ((await setting.calls()) - (calls?.count ?? 0)) / seconds / SCALE;
  const late: number[] = [];
  const polls: number[] = [];
  for (const [, fields] of await setting.redis.xrange('{cfw}:events', '-', '+')) {
    const field = (name: string) => fields[fields.indexOf(name) + 1] as string;
    const publishedAt = Date.parse(field('time'));
    if ((publishedAt - begun) * SCALE < FROM_MS) continue;
    late.push((publishedAt - (jobs.get(field('subject')) as number)) * SCALE);
    polls.push((JSON.parse(field('data')) as { polls: number }).polls);
  }
  return { polls: mean(polls), delayMs: mean(late), waitedP99Ms: quantile(waited, 0.99), callsPerSecond };
}
