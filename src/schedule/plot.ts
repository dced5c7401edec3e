import type { Schedule } from '../polling/index.js';
import { binStart, type Durations, quantile } from './durations.js';

/** A step of time: the jobs that ended in it, and the polls of a job that is never found ended. */
export interface PlotStep {
  /** Where it begins, in milliseconds from enqueueing. */
  readonly fromMs: number;
  readonly jobs: number;
  readonly polls: number;
}

/**
 * What a plot of durations and polls shows: steps of a round length, up to a little more than the longest that a job took.
 *
 * @param steps how many at most.
 */
export function plotSteps(durations: Durations, schedule: Schedule, steps: number): PlotStep[] {
  const end = (quantile(durations, 0.995) ?? 0) * 1.1;
  const step = roundStep(end / steps);
  const count = Math.ceil(end / step);
  const jobs = new Array<number>(count).fill(0);
  durations.ended.forEach((number, bin) => {
    // A bin can reach over several steps; each gets its part.
    const [from, to] = [binStart(bin), binStart(bin + 1)];
    for (let n = Math.floor(from / step); n < count && n * step < to; n += 1) {
      const part = (Math.min(to, (n + 1) * step) - Math.max(from, n * step)) / (to - from);
      jobs[n] = (jobs[n] as number) + number * part;
    }
  });
  const polls = new Array<number>(count).fill(0);
  for (let at = 0; at < count * step; at += schedule(at)) {
    const n = Math.floor(at / step);
    polls[n] = (polls[n] as number) + 1;
  }
  return jobs.map((number, n) => ({ fromMs: n * step, jobs: number, polls: polls[n] as number }));
}

/** The next greater of 1, 2, 5, 10, 15, 30 seconds, minutes and so on, in milliseconds. */
function roundStep(ms: number): number {
  const steps = [1, 10, 100].flatMap((unit) => [unit, 2 * unit, 5 * unit]);
  const seconds = [1, 2, 5, 10, 15, 30].map((n) => n * 1_000);
  const minutes = [1, 2, 5, 10, 15, 30, 60].map((n) => n * 60_000);
  return [...steps, ...seconds, ...minutes].find((step) => step >= ms) ?? 7_200_000;
}
