import type { BaseConfig } from '../config/index.js';
import { formatDuration } from '../lib/duration.js';
import type { Schedule } from '../polling/index.js';
import { queueLoad } from '../queue/index.js';
import { withCommandRedis } from '../redis/index.js';
import {
  binStart,
  DurationMemory,
  exponentialBackoff,
  type Knowledge,
  learnedSchedule,
  MIN_JOBS,
  MIN_WATCHED,
  quantile,
  sum,
} from '../schedule/index.js';
import type { Terminal } from './terminal.js';

/** Rows of the plot, at most. */
const ROWS = 24;
/** The longest bar of the plot. */
const BAR = 40;

/** Shows how long jobs took, and when the schedule polls. */
export async function showSchedule(config: BaseConfig, terminal: Terminal): Promise<void> {
  const { queue, polling } = config;
  await withCommandRedis(config.redis, async (redis) => {
    const [knowledge, load] = await Promise.all([
      new DurationMemory({ redis, queueName: queue.name, queuePrefix: queue.prefix }).read(),
      queueLoad(redis, queue.name, queue.prefix),
    ]);
    const backoff = exponentialBackoff(polling);
    const options = { ...polling, minDelayMs: polling.initialDelayMs, backoff };
    const learned = learnedSchedule(knowledge, options, { ...load, pollsPerSecond: polling.ratePerSecond });
    const row = (label: string, text: string) => terminal.print(`${terminal.style('dim', label.padEnd(11))}${text}`);
    row('queue', queue.name);
    row('jobs', jobsLine(knowledge));
    if (polling.schedule === 'exponential') {
      row('schedule', 'exponential backoff (POLL_SCHEDULE)');
    } else if (learned === undefined) {
      row('schedule', `exponential backoff, until enough is known: ${missing(knowledge)}`);
    } else {
      row('schedule', `learned, at a price of ${formatDuration(learned.priceMs)} for a poll`);
      if (learned.priceMs > polling.priceMs) {
        const { jobsInFlight } = load;
        row('', `(POLL_PRICE is ${formatDuration(polling.priceMs)}; ${jobsInFlight} jobs in flight make it more)`);
      }
      row(
        'expected',
        `${learned.polls.toFixed(1)} polls a job; noticed ${formatDuration(learned.delayMs)} after its end`,
      );
    }
    if (sum(knowledge.durations.ended) === 0) return;
    const isLearned = polling.schedule === 'learned' && learned !== undefined;
    terminal.print('');
    for (const line of plot(knowledge, isLearned ? learned.schedule : backoff, terminal)) terminal.print(line);
  });
}

/** Forgets what was learned. */
export async function resetSchedule(config: BaseConfig, terminal: Terminal): Promise<void> {
  const { queue } = config;
  await withCommandRedis(config.redis, async (redis) => {
    await new DurationMemory({ redis, queueName: queue.name, queuePrefix: queue.prefix }).reset();
    terminal.print(`forgotten how long the jobs of ${queue.name} took; running sidecars follow within 10 seconds`);
  });
}

function jobsLine({ durations, watchedMs }: Knowledge): string {
  const ended = sum(durations.ended);
  if (ended === 0) return 'none has ended yet';
  const [half, most] = [quantile(durations, 0.5) ?? 0, quantile(durations, 0.9) ?? 0];
  const givenUp = sum(durations.givenUp);
  const others = givenUp === 0 ? '' : `; ${Math.round(givenUp)} given up while they ran`;
  return `${Math.round(ended)} (older ones count for less), watched for ${formatDuration(watchedMs)}; half ended within ${formatDuration(half)}, nine of ten within ${formatDuration(most)}${others}`;
}

function missing({ durations, watchedMs }: Knowledge): string {
  const ended = sum(durations.ended);
  if (ended < MIN_JOBS) return `${Math.floor(ended)} of ${MIN_JOBS} jobs have ended`;
  const needed = MIN_WATCHED * (quantile(durations, 0.9) ?? 0);
  return `jobs have been watched for ${formatDuration(watchedMs)} of ${formatDuration(needed)}`;
}

/** A row for each step of time: jobs that ended in it as a bar, polls of a job that is never found ended as marks. */
function plot({ durations }: Knowledge, schedule: Schedule, { style }: Pick<Terminal, 'style'>): string[] {
  const end = (quantile(durations, 0.995) ?? 0) * 1.1;
  const step = roundStep(end / ROWS);
  const rows = Math.ceil(end / step);
  const jobs = new Array<number>(rows).fill(0);
  durations.ended.forEach((count, bin) => {
    // A bin can reach over several rows; each gets its part.
    const [from, to] = [binStart(bin), binStart(bin + 1)];
    for (let row = Math.floor(from / step); row < rows && row * step < to; row += 1) {
      const part = (Math.min(to, (row + 1) * step) - Math.max(from, row * step)) / (to - from);
      jobs[row] = (jobs[row] as number) + count * part;
    }
  });
  const polls = new Array<number>(rows).fill(0);
  for (let at = 0; at < rows * step; at += schedule(at)) {
    const row = Math.floor(at / step);
    polls[row] = (polls[row] as number) + 1;
  }
  const most = Math.max(...jobs);
  return [
    style('dim', `${'TIME'.padEnd(8)}${'JOBS THAT ENDED'.padEnd(BAR + 1)}POLLS`),
    ...jobs.map((count, row) => {
      const bar = '█'.repeat(Math.round((count / most) * BAR)) || (count > 0 ? '▏' : '');
      const number = polls[row] as number;
      const marks = number > 10 ? `●×${number}` : '●'.repeat(number);
      const line = `${formatDuration(row * step).padEnd(8)}${style('cyan', bar.padEnd(BAR + 1))}${style('yellow', marks)}`;
      return line.trimEnd();
    }),
  ];
}

/** The next greater of 1, 2, 5, 10, 15, 30 seconds, minutes and so on, in milliseconds. */
function roundStep(ms: number): number {
  const steps = [1, 10, 100].flatMap((unit) => [unit, 2 * unit, 5 * unit]);
  const seconds = [1, 2, 5, 10, 15, 30].map((n) => n * 1_000);
  const minutes = [1, 2, 5, 10, 15, 30, 60].map((n) => n * 60_000);
  return [...steps, ...seconds, ...minutes].find((step) => step >= ms) ?? 7_200_000;
}
