import { logNormal } from '../src/simulator/index.js';

/** How long jobs take: one draws jobs from it, and it is known exactly. Milliseconds. */
export interface Distribution {
  readonly name: string;
  readonly draw: (random: () => number) => number;
  /** The share of jobs that have ended by a time. */
  readonly ended: (ms: number) => number;
  /** All but a few in a million have ended by then. */
  readonly endMs: number;
}

const MINUTE_MS = 60_000;

/** The error function, to 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

function logNormalOf(medianMs: number, sigma: number): Distribution {
  return {
    name: `log-normal, sigma ${sigma}`,
    draw: (random) => logNormal(medianMs, sigma, random),
    ended: (ms) => (ms <= 0 ? 0 : (1 + erf(Math.log(ms / medianMs) / sigma / Math.SQRT2)) / 2),
    endMs: medianMs * Math.exp(4.5 * sigma),
  };
}

function half(one: Distribution, other: Distribution, name: string): Distribution {
  return {
    name,
    draw: (random) => (random() < 0.5 ? one : other).draw(random),
    ended: (ms) => (one.ended(ms) + other.ended(ms)) / 2,
    endMs: Math.max(one.endMs, other.endMs),
  };
}

/** The same, with everything so many times slower. */
export function slower({ name, draw, ended, endMs }: Distribution, factor: number): Distribution {
  return {
    name,
    draw: (random) => factor * draw(random),
    ended: (ms) => ended(ms / factor),
    endMs: factor * endMs,
  };
}

/** Two projects whose firewalls are as different as can be expected; together they are the distribution of two modes. */
export const TWO_PROJECTS = [logNormalOf(MINUTE_MS, 0.15), logNormalOf(7 * MINUTE_MS, 0.15)] as const;

/** What firewalls may be like: from nearly always the same to without any memory. */
export const DISTRIBUTIONS: readonly Distribution[] = [
  logNormalOf(3 * MINUTE_MS, 0.15),
  logNormalOf(3 * MINUTE_MS, 0.35),
  logNormalOf(3 * MINUTE_MS, 0.8),
  half(...TWO_PROJECTS, 'two modes, 1 and 7 min'),
  {
    name: 'exponential, mean 3 min',
    draw: (random) => -3 * MINUTE_MS * Math.log(1 - random()),
    ended: (ms) => (ms <= 0 ? 0 : 1 - Math.exp(-ms / (3 * MINUTE_MS))),
    endMs: 36 * MINUTE_MS,
  },
];
