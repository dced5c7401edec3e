import type { Schedule } from '../polling/index.js';
import { binStart } from './durations.js';
import type { Hazard } from './hazard.js';

/** What bounds the delays, all in milliseconds. */
export interface InspectionOptions {
  /** How much delay one poll is worth. */
  readonly priceMs: number;
  /** No delay is shorter. @minimum 1 */
  readonly minDelayMs: number;
  /** No delay is longer. @minimum minDelayMs */
  readonly maxDelayMs: number;
  /** What counts beyond the times that were ever seen. */
  readonly backoff: Schedule;
}

/** A schedule and what can be expected of it. */
export interface Inspection {
  readonly schedule: Schedule;
  /** Polls for each job, the first one and the one that finds the end included. */
  readonly polls: number;
  /** From a job's end to the poll that finds it, in milliseconds. */
  readonly delayMs: number;
  /** From enqueueing to the end of a job, in milliseconds. */
  readonly durationMs: number;
}

/** Points in time for each interval that Keller's formula gives. */
const POINTS_PER_INTERVAL = 5;
const MAX_POINTS = 2_000;

/**
 * The schedule that makes *delay + price × polls* least on average: the optimal inspection problem (Barlow, Hunter and
 * Proschan 1963), solved by dynamic programming. With a poll at time tᵢ that found the job running, the best cost from
 * there on is
 *
 *     cost(i) = min over j of  S(tᵢ)·price + ∫ from tᵢ to tⱼ of (S(tᵢ) − S(u)) du + cost(j)
 *
 * where S(t) is the share of jobs that run for longer than t. The best j never falls as i grows (the cost of an interval
 * satisfies the Monge condition), so few of them have to be tried.
 */
export function optimalInspection(hazard: Hazard, options: InspectionOptions): Inspection {
  const { minDelayMs, maxDelayMs, backoff } = options;
  const { times, running, area } = pointsInTime(hazard, options);
  const last = times.length - 1;
  const [cost, polls, delay] = [new Float64Array(last + 1), new Float64Array(last + 1), new Float64Array(last + 1)];
  /** When to poll next, after a poll at each point. */
  const next = new Float64Array(last + 1);
  const end = times[last] as number;
  next[last] = end + backoff(end);

  let farthest = last;
  for (let i = last - 1; i >= 0; i -= 1) {
    const [from, alive] = [times[i] as number, running[i] as number];
    let best = { cost: Number.POSITIVE_INFINITY, lateMs: 0, to: i + 1 };
    for (let j = i + 1; j <= farthest; j += 1) {
      const interval = (times[j] as number) - from;
      if (interval < minDelayMs && j < farthest) continue;
      if (interval > maxDelayMs && best.cost < Number.POSITIVE_INFINITY) break;
      const lateMs = alive * interval - ((area[j] as number) - (area[i] as number));
      const total = alive * options.priceMs + lateMs + (cost[j] as number);
      if (total < best.cost) best = { cost: total, lateMs, to: j };
    }
    farthest = best.to;
    cost[i] = best.cost;
    polls[i] = alive + (polls[best.to] as number);
    delay[i] = best.lateMs + (delay[best.to] as number);
    next[i] = times[best.to] as number;
  }

  const schedule: Schedule = (elapsedMs) => {
    const elapsed = Math.max(0, elapsedMs);
    if (elapsed >= end) return backoff(elapsed);
    const after = indexAfter(times, elapsed);
    const [left, right] = [times[after - 1] as number, times[after] as number];
    const [nextLeft, nextRight] = [next[after - 1] as number, next[after] as number];
    const nextPoll = nextLeft + ((nextRight - nextLeft) * (elapsed - left)) / (right - left);
    return Math.min(maxDelayMs, Math.max(minDelayMs, nextPoll - elapsed));
  };
  return {
    schedule,
    polls: 1 + (polls[0] as number),
    delayMs: delay[0] as number,
    durationMs: area[last] as number,
  };
}

/**
 * Points in time to choose the polls from, close where jobs end and wide apart where none do; with the share of jobs that
 * still run, and the integral of it so far. Keller (1974) found that the best intervals are about √(2·price/hazard).
 */
function pointsInTime(hazard: Hazard, { priceMs, minDelayMs, maxDelayMs }: InspectionOptions) {
  const closest = Math.max(minDelayMs / 2, binStart(hazard.rates.length) / MAX_POINTS);
  const [times, running, area] = [[0], [1], [0]];
  let [alive, sum] = [1, 0];
  for (let bin = -1; bin < hazard.rates.length; bin += 1) {
    const rate = bin < 0 ? hazard.firstRate : (hazard.rates[bin] as number);
    const from = bin < 0 ? 0 : binStart(bin);
    const width = binStart(bin + 1) - from;
    const interval = Math.min(maxDelayMs, Math.sqrt((2 * priceMs) / rate));
    const parts = Math.ceil(width / Math.max(interval / POINTS_PER_INTERVAL, closest));
    for (let part = 1; part <= parts; part += 1) {
      const still = alive * Math.exp((-rate * width) / parts);
      sum += (alive - still) / rate;
      alive = still;
      times.push(from + (width * part) / parts);
      running.push(alive);
      area.push(sum);
    }
  }
  return { times, running, area };
}

/** The index of the first of the rising numbers that is greater; the first number must not be. */
function indexAfter(numbers: readonly number[], number: number): number {
  let [low, high] = [0, numbers.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as number) <= number) low = middle;
    else high = middle;
  }
  return high;
}
