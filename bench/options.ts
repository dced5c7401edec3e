import { parseArgs } from 'node:util';

/** What the command line of a bench says. Each section has defaults of its own. */
export interface BenchOptions {
  readonly sections: readonly string[];
  /** A git revision to measure beside this tree. */
  readonly base: string | undefined;
  /** Length of a measurement. */
  readonly seconds: number | undefined;
  /** Numbers of sidecars (`fleet`, `limiter`) or of jobs in flight (`in-flight`). */
  readonly sizes: readonly number[] | undefined;
  /** Calls a second (`fleet`, `limiter`, `throughput`); 0 is no limit. */
  readonly limits: readonly number[] | undefined;
  /** Parts of `fleet`; `command` leaves out all other ways of `throughput`. */
  readonly parts: readonly string[] | undefined;
  /** How often `throughput` and `footprint` measure each way. */
  readonly rounds: number | undefined;
}

export const USAGE = `npm run bench -- [section…] [options]
  --base REV     also measures this git revision in the same run (fleet, footprint, limiter, throughput, in-flight,
                 shutdown)
  --seconds N    length of a measurement
  --sizes A,B    sidecars on one queue (fleet, limiter), or jobs in flight (in-flight)
  --limits A,B   calls a second; 0 is no limit (fleet, limiter, throughput)
  --parts A,B    parts of fleet: polls, floor, idle, timeouts, kills, share, upgrade; of throughput: command
  --rounds N     how often throughput and footprint measure each way`;

/** @throws {Error} with one line for the first option that is wrong. */
export function readOptions(args: readonly string[]): BenchOptions {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { base: text, seconds: text, sizes: text, limits: text, parts: text, rounds: text },
  });
  const numbers = (name: 'seconds' | 'sizes' | 'limits' | 'rounds', least: number) => {
    const list = values[name]?.split(',').map(Number);
    if (list?.some((n) => !(n >= least && Number.isInteger(n)))) {
      throw new Error(`--${name} is invalid: expected whole numbers of ${least} or more, such as "1,8"`);
    }
    return list;
  };
  return {
    sections: positionals,
    base: values.base,
    seconds: numbers('seconds', 1)?.[0],
    sizes: numbers('sizes', 1),
    limits: numbers('limits', 0),
    parts: values.parts?.split(','),
    rounds: numbers('rounds', 1)?.[0],
  };
}
