import { html } from 'hono/html';
import { formatDuration } from '../../../lib/duration.js';
import { MIN_JOBS, type PlotStep, plotSteps, quantile, sum } from '../../../schedule/index.js';
import { type Html, layout } from './layout.js';
import type { ScheduleView } from './sources.js';

const STEPS = 30;
const WIDTH = 720;
const HEIGHT = 200;
const BOTTOM = 56;

/** What the learned schedule knows: how long jobs took, and when they are polled. */
export function schedulePage({ durations, schedule, learned }: ScheduleView): Html {
  const ended = Math.round(sum(durations.ended));
  const steps = ended === 0 ? [] : plotSteps(durations, schedule, STEPS);
  const [half = 0, most = 0] = [quantile(durations, 0.5), quantile(durations, 0.9)];
  return layout(
    'Schedule',
    '/schedule',
    html`<section id="schedule" aria-label="What is known" data-live>
<p>${
      learned === undefined
        ? `Polls follow the exponential backoff${ended < MIN_JOBS ? `; the schedule is learned from ${MIN_JOBS} ended jobs on` : ''}.`
        : `Polls follow the learned schedule, at a price of ${formatDuration(learned.priceMs)} for a poll: ` +
          `${learned.polls.toFixed(1)} polls a job are expected, and an end is noticed ${formatDuration(learned.delayMs)} later.`
    }</p>
<p>${
      ended === 0
        ? 'No job has ended yet.'
        : `${ended} jobs have ended (older ones count for less): half within ${formatDuration(half)}, nine of ten within ${formatDuration(most)}.`
    }</p>
${steps.length === 0 ? '' : html`${plot(steps)}${table(steps)}`}
</section>`,
  );
}

/** A bar for the jobs that ended in each step, and below it a mark for each poll of a job that is never found ended. */
function plot(steps: readonly PlotStep[]): Html {
  const most = Math.max(...steps.map(({ jobs }) => jobs), 1);
  const width = WIDTH / steps.length;
  const round = (n: number) => Math.round(n * 10) / 10;
  const every = Math.ceil(steps.length / 6);
  return html`<figure>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT + BOTTOM}" role="img" aria-label="Histogram of how long jobs took, with the polls of a job below it">
${steps.map(({ jobs, polls, fromMs }, n) => {
  const height = (jobs / most) * HEIGHT;
  const marks = Array.from({ length: Math.min(polls, 6) }, (_, i) => i);
  return html`<rect class="bar" x="${round(n * width + 1)}" y="${round(HEIGHT - height)}" width="${round(width - 2)}" height="${round(height)}"></rect>
${marks.map((i) => html`<circle class="poll" cx="${round((n + (i + 1) / (marks.length + 1)) * width)}" cy="${HEIGHT + 12}" r="3"></circle>`)}
${n % every === 0 ? html`<text x="${round(n * width + 1)}" y="${HEIGHT + 44}">${formatDuration(fromMs)}</text>` : ''}`;
})}
<line class="axis" x1="0" y1="${HEIGHT}" x2="${WIDTH}" y2="${HEIGHT}"></line>
</svg>
<figcaption>Bars: jobs by the time from enqueueing to their end. Dots: when a job is polled.</figcaption>
</figure>`;
}

function table(steps: readonly PlotStep[]): Html {
  return html`<details><summary>The same as a table</summary>
<table><thead><tr><th scope="col">From</th><th scope="col" class="number">Jobs that ended</th><th scope="col" class="number">Polls</th></tr></thead>
<tbody>${steps.map(({ fromMs, jobs, polls }) => html`<tr><td>${formatDuration(fromMs)}</td><td class="number">${jobs.toFixed(1)}</td><td class="number">${polls}</td></tr>`)}</tbody></table>
</details>`;
}
