import type { Distribution } from './distributions.js';

/** The best that anybody could do who knows the distribution, for one price. */
export interface Optimum {
  /** When to poll, from the one at 0 on, in milliseconds. */
  readonly polls: readonly number[];
  /** Polls of a job on average. */
  readonly expectedPolls: number;
  readonly expectedDelayMs: number;
}

/**
 * Finds it by dynamic programming over fine steps, and on purpose shares no code with what it is the measure of. The first
 * poll is at 0, as for every job, unless `first` is false.
 */
export function optimum({ ended, endMs }: Distribution, priceMs: number, first = true): Optimum {
  const times = [0];
  for (let t = 0; t < endMs; times.push(t)) {
    const width = Math.max(1, t * 0.002);
    const hazard = Math.max(1e-9, (ended(t + width) - ended(t)) / width / Math.max(1e-9, 1 - ended(t)));
    t += Math.min(Math.max(Math.sqrt((2 * priceMs) / hazard) / 20, endMs / 10_000), Math.max(250, t * 0.01));
  }
  const last = times.length - 1;
  const gone = times.map(ended);
  // The integral of the share that has ended.
  const area = [0];
  for (let i = 1; i <= last; i += 1) {
    const width = (times[i] as number) - (times[i - 1] as number);
    area.push((area[i - 1] as number) + (width * ((gone[i] as number) + (gone[i - 1] as number))) / 2);
  }
  const [cost, polls, delay] = [new Float64Array(last + 1), new Float64Array(last + 1), new Float64Array(last + 1)];
  const next = new Int32Array(last + 1);
  for (let i = last - 1; i >= 0; i -= 1) {
    cost[i] = Number.POSITIVE_INFINITY;
    const alive = 1 - (gone[i] as number);
    for (let j = i + 1; j <= last; j += 1) {
      const interval = (times[j] as number) - (times[i] as number);
      if (interval < 1_000 && j < last) continue;
      const lateMs = (area[j] as number) - (area[i] as number) - (gone[i] as number) * interval;
      // Later polls only make it worse from here on.
      if (alive * priceMs + lateMs > (cost[i] as number)) break;
      const total = alive * priceMs + lateMs + (cost[j] as number);
      if (total >= (cost[i] as number)) continue;
      cost[i] = total;
      next[i] = j;
      polls[i] = alive + (polls[j] as number);
      delay[i] = lateMs + (delay[j] as number);
    }
  }
  const chosen = [0];
  for (let i = 0; i < last; ) {
    i = next[i] as number;
    chosen.push(times[i] as number);
  }
  return {
    polls: first ? chosen : chosen.slice(1),
    expectedPolls: (polls[0] as number) + (first ? 1 : 0),
    expectedDelayMs: delay[0] as number,
  };
}

/** The optimum that needs as many polls: the least delay that so many can buy. */
export function optimumWith(distribution: Distribution, expectedPolls: number, first = true): Optimum {
  let [low, high] = [1, 1e7];
  while (high / low > 1.002) {
    const middle = Math.sqrt(low * high);
    if (optimum(distribution, middle, first).expectedPolls > expectedPolls) low = middle;
    else high = middle;
  }
  return optimum(distribution, low, first);
}
