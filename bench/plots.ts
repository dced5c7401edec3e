/** `npm run plots`: draws the plots of docs/schedule.md, from simulations that are the same each time. */
import { mkdirSync, writeFileSync } from 'node:fs';
import type { Schedule } from '../src/polling/index.js';
import { exponentialBackoff } from '../src/schedule/index.js';
import { DEFAULT_BACKOFF, learn } from './crowd.js';
import { DISTRIBUTIONS, type Distribution } from './distributions.js';
import { optimum } from './optimum.js';
import { averagesOf, memoryOf } from './schedules.js';

const [WIDTH, HEIGHT, MARGIN] = [720, 300, 48];
const COLOURS = ['#0969da', '#cf222e', '#1a7f37', '#8250df', '#9a6700'] as const;

interface Axis {
  readonly max: number;
  readonly step: number;
  readonly label: string;
}

/** A plot with two axes from 0 on; colours are readable on white and on black. */
class Plot {
  readonly #parts: string[] = [];
  readonly #x: Axis;
  readonly #y: Axis;
  readonly #height: number;

  constructor(x: Axis, y: Axis, height = HEIGHT) {
    [this.#x, this.#y, this.#height] = [x, y, height];
    const [left, right, bottom, top] = [MARGIN, WIDTH - 16, height - MARGIN, 16];
    this.#parts.push(`<path d="M${left} ${top}V${bottom}H${right}" stroke="#888" fill="none"/>`);
    for (let at = 0; at <= x.max; at += x.step) this.text(this.x(at), bottom + 16, `${at}`, 'middle');
    for (let at = y.step; at <= y.max; at += y.step) this.text(left - 6, this.y(at) + 4, `${at}`, 'end');
    this.text((left + right) / 2, height - 10, x.label, 'middle');
    this.#parts.push(
      `<text transform="translate(12 ${(top + bottom) / 2}) rotate(-90)" text-anchor="middle">${y.label}</text>`,
    );
  }

  x(value: number): number {
    return Math.round((MARGIN + (value / this.#x.max) * (WIDTH - MARGIN - 16)) * 10) / 10;
  }

  y(value: number): number {
    return Math.round((this.#height - MARGIN - (value / this.#y.max) * (this.#height - MARGIN - 16)) * 10) / 10;
  }

  text(x: number, y: number, text: string, anchor = 'start', colour = '#888'): void {
    this.#parts.push(`<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${colour}">${text}</text>`);
  }

  line(points: readonly (readonly [number, number])[], colour: string, fill = 'none'): void {
    const path = points.map(([x, y], n) => `${n === 0 ? 'M' : 'L'}${this.x(x)} ${this.y(y)}`).join('');
    this.#parts.push(`<path d="${path}" stroke="${colour}" stroke-width="2" fill="${fill}" fill-opacity="0.2"/>`);
  }

  dot(x: number, y: number, colour: string, label = ''): void {
    this.#parts.push(`<circle cx="${this.x(x)}" cy="${this.y(y)}" r="4" fill="${colour}"/>`);
    if (label !== '') this.text(this.x(x) + 8, this.y(y) + 4, label, 'start', colour);
  }

  /** A row of ticks above the axis. */
  ticks(xs: readonly number[], y: number, colour: string, label: string): void {
    for (const x of xs) {
      this.#parts.push(`<path d="M${this.x(x)} ${this.y(y) - 7}v14" stroke="${colour}" stroke-width="2"/>`);
    }
    this.text(this.x(this.#x.max), this.y(y) - 12, label, 'end', colour);
  }

  save(name: string, title: string): void {
    const [open, close] = [
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${this.#height}" font-family="sans-serif" font-size="12" fill="#888"><title>${title}</title>`,
      '</svg>\n',
    ];
    writeFileSync(`docs/plots/${name}.svg`, [open, ...this.#parts, close].join('\n'));
  }
}

const [sharp, usual] = DISTRIBUTIONS as [Distribution, Distribution];

/** The polls of a job that is not over by then, in seconds. */
function pollsUntil(schedule: Schedule, endSeconds: number): number[] {
  const polls = [];
  for (let at = 0; at < endSeconds * 1_000; at += schedule(at)) polls.push(at / 1_000);
  return polls;
}

/** How much likelier than on average a job is to end within a second. */
function density({ ended }: Distribution, endSeconds: number): [number, number][] {
  const seconds = Array.from({ length: endSeconds + 1 }, (_, n) => n);
  const share = seconds.map((s) => ended(s * 1_000 + 1_000) - ended(s * 1_000));
  const most = Math.max(...share);
  return seconds.map((s) => [s, (share[s] as number) / most]);
}

/** When polls are made, over when jobs end. */
function when(): void {
  const plot = new Plot(
    { max: 420, step: 60, label: 'seconds since enqueueing' },
    { max: 1.6, step: 10, label: 'jobs that end' },
  );
  plot.line(density(usual, 420), COLOURS[0], COLOURS[0]);
  plot.ticks(pollsUntil(DEFAULT_BACKOFF, 420), 1.45, COLOURS[1], 'exponential 1 s × 1.5, at most 10 s');
  const learned = learn(memoryOf(usual, 500).knowledge(0))?.schedule ?? DEFAULT_BACKOFF;
  plot.ticks(pollsUntil(learned, 420), 1.2, COLOURS[2], 'learned from 500 jobs');
  plot.save('when', 'Polls over the time at which jobs end');
}

/** What polls buy. */
function tradeOff(): void {
  const plot = new Plot(
    { max: 40, step: 5, label: 'polls of a job' },
    { max: 32, step: 4, label: 'noticed after, seconds' },
  );
  const prices = Array.from({ length: 41 }, (_, n) => 30 * 1.25 ** n);
  const curve = (distribution: Distribution) =>
    prices
      .map((price) => optimum(distribution, price))
      .map(({ expectedPolls, expectedDelayMs }) => [expectedPolls, expectedDelayMs / 1_000] as const)
      .filter(([polls, delay]) => polls <= 40 && delay <= 32);
  for (const [distribution, colour] of [[usual, COLOURS[0]] as const, [sharp, COLOURS[3]] as const]) {
    const points = curve(distribution);
    plot.line(points, colour);
    const knowledge = memoryOf(distribution, 500).knowledge(0);
    for (const price of [100, 500, 2_000, 8_000]) {
      const { polls, delayMs } = averagesOf(learn(knowledge, price)?.schedule ?? DEFAULT_BACKOFF, distribution);
      plot.dot(polls, delayMs / 1_000, colour);
    }
  }
  plot.text(
    plot.x(6.5),
    plot.y(12),
    `optimum and learned (dots: 0.1, 0.5, 2 and 8 s a poll), ${usual.name}`,
    'start',
    COLOURS[0],
  );
  plot.text(plot.x(20), plot.y(0.4), `the same, ${sharp.name}`, 'end', COLOURS[3]);
  const others: [string, Schedule, number][] = [
    ['Terraform', () => 10_000, 1],
    ['Open Telekom Cloud', () => 5_000, 1],
    [
      'exponential, 1 s × 2, at most 60 s',
      exponentialBackoff({ initialDelayMs: 1_000, factor: 2, maxDelayMs: 60_000 }),
      0,
    ],
    ['exponential, 1 s × 1.5, at most 10 s', DEFAULT_BACKOFF, 0],
  ];
  for (const [label, schedule, skipped] of others) {
    const { polls, delayMs } = averagesOf(schedule, usual);
    plot.dot(polls - skipped, delayMs / 1_000, COLOURS[1]);
    const anchor = polls < 10 ? 'start' : polls > 30 ? 'end' : 'middle';
    plot.text(plot.x(polls - skipped), plot.y(delayMs / 1_000) - 10, label, anchor, COLOURS[1]);
  }
  plot.save('trade-off', 'Delay over polls of a job');
}

/** What the quota does to the price and to the delay, with more and more jobs in flight. */
function quota(): void {
  const plot = new Plot(
    { max: 10_000, step: 1_000, label: 'jobs in flight, at 100 polls a second' },
    { max: 60, step: 10, label: 'noticed after, seconds' },
  );
  for (const [distribution, colour] of [[usual, COLOURS[0]] as const, [sharp, COLOURS[3]] as const]) {
    const knowledge = memoryOf(distribution, 500).knowledge(0);
    const points: [number, number][] = [];
    for (let jobsInFlight = 250; jobsInFlight <= 10_000; jobsInFlight += 250) {
      const learned = learn(knowledge, 500, { jobsInFlight, jobsWaiting: 0, pollsPerSecond: 100 });
      if (learned !== undefined) points.push([jobsInFlight, learned.delayMs / 1_000]);
    }
    plot.line(points, colour);
    const [x, y] = points[22] as [number, number];
    plot.text(plot.x(x) + 8, plot.y(y) + 18, `learned, ${distribution.name}`, 'start', colour);
  }
  // In turn, each job is polled every so many seconds; on average its end is half of that ago.
  plot.line(
    [0, 1_000, 10_000].map((jobs) => [jobs, Math.max(10, jobs / 100) / 2] as const),
    COLOURS[1],
  );
  plot.text(plot.x(6_500) - 8, plot.y(34), 'exponential, behind the limiter', 'end', COLOURS[1]);
  plot.save('quota', 'Delay over jobs in flight');
}

mkdirSync('docs/plots', { recursive: true });
when();
tradeOff();
quota();
