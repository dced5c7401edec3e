import { BIN_COUNT, binStart, type Durations, sum } from './durations.js';

/**
 * How likely jobs that still run are to end, by the time since enqueueing: the hazard rate, per millisecond, which is
 * constant within each bin. Its last bin is the last one in which a job was ever seen to end.
 */
export interface Hazard {
  /** For each bin from 0 on. */
  readonly rates: readonly number[];
  /** From enqueueing to where the first bin begins. */
  readonly firstRate: number;
}

/**
 * What is believed before anything was seen, as so many jobs: that one that has run for time t ends at the rate 1/t, so it
 * will run about as long again. It keeps a poll or two alive if no job has ended so far, and it is what is left
 * where hardly any job still ran. More of it costs polls, less of it notices a change later.
 */
const PRIOR_JOBS = 0.25;
/** Counts are spread over bins within this, divided by the root of the number of jobs: the fewer, the rougher. */
const SMOOTHING_BINS = 60;

/**
 * The hazard rate from a histogram: the jobs that ended in a bin over those that still ran (Kaplan and Meier 1958, which
 * is right for jobs that were given up, too), with a prior (a beta process, Hjort 1990).
 *
 * @param minDelayMs before this, the prior's rate does not grow further.
 */
export function hazardOf({ ended, givenUp }: Durations, minDelayMs: number): Hazard {
  const last = ended.findLastIndex((jobs) => jobs > 0);
  const smoothed = smooth(ended, last);
  const rates = new Array<number>(last + 1).fill(0);
  let running = 0;
  for (let bin = BIN_COUNT - 1; bin >= 0; bin -= 1) {
    const stopped = givenUp[bin] ?? 0;
    const jobs = smoothed[bin] ?? 0;
    running += jobs + stopped;
    if (bin > last) continue;
    const [from, to] = [binStart(bin), binStart(bin + 1)];
    const expected = 1 - (from + minDelayMs) / (to + minDelayMs);
    // Jobs that were given up in this bin ran through half of it on average.
    const share = (jobs + PRIOR_JOBS * expected) / (running - stopped / 2 + PRIOR_JOBS);
    rates[bin] = -Math.log(1 - share) / (to - from);
  }
  return { rates, firstRate: PRIOR_JOBS / minDelayMs / (running + PRIOR_JOBS) };
}

/** Spreads each count over its neighbours, most to the nearest, but not beyond the last bin. */
function smooth(counts: readonly number[], last: number): number[] {
  const reach = Math.round(SMOOTHING_BINS / Math.sqrt(sum(counts)));
  const smoothed = new Array<number>(last + 1).fill(0);
  for (let bin = 0; bin <= last; bin += 1) {
    const count = counts[bin] as number;
    if (count === 0) continue;
    for (let off = -reach; off <= reach; off += 1) {
      const to = Math.min(last, Math.max(0, bin + off));
      smoothed[to] = (smoothed[to] as number) + (count * (reach + 1 - Math.abs(off))) / (reach + 1) ** 2;
    }
  }
  return smoothed;
}
