import type { BaseConfig } from '../config/index.js';
import { formatDuration } from '../lib/duration.js';
import type { Schedule } from '../polling/index.js';
import { queueLoad } from '../queue/index.js';
import { withCommandRedis } from '../redis/index.js';
import {
  DurationStore,
  exponentialBackoff,
  type Knowledge,
  learnedSchedule,
  MIN_JOBS,
  MIN_WATCHED,
  plotSteps,
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
      new DurationStore({ redis, queueName: queue.name, queuePrefix: queue.prefix }).read(),
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
    await new DurationStore({ redis, queueName: queue.name, queuePrefix: queue.prefix }).reset();
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
  const steps = plotSteps(durations, schedule, ROWS);
  const most = Math.max(...steps.map(({ jobs }) => jobs));
  return [
    style('dim', `${'TIME'.padEnd(8)}${'JOBS THAT ENDED'.padEnd(BAR + 1)}POLLS`),
    ...steps.map(({ fromMs, jobs, polls }) => {
      const bar = '█'.repeat(Math.round((jobs / most) * BAR)) || (jobs > 0 ? '▏' : '');
      const marks = polls > 10 ? `●×${polls}` : '●'.repeat(polls);
      const line = `${formatDuration(fromMs).padEnd(8)}${style('cyan', bar.padEnd(BAR + 1))}${style('yellow', marks)}`;
      return line.trimEnd();
    }),
  ];
}
