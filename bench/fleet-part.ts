import type { Row } from './numbers.js';
import type { BenchOptions } from './options.js';
import { PROJECT, type Setting } from './setting.js';
import type { Version } from './versions.js';

/** What a part of the section fleet is given. */
export interface FleetPart {
  readonly setting: Setting;
  readonly versions: readonly Version[];
  readonly options: BenchOptions;
}

/** Ids of jobs that the fast cloud knows; it knows all. */
export function jobIds(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `job-${n}`);
}

/** Jobs as a raw producer adds them. */
export function queueJobs(
  count: number,
  { delayMs = 0, timeoutMs }: { delayMs?: number; timeoutMs?: (n: number) => number },
) {
  return jobIds(count).map((jobId, n) => ({
    name: 'poll',
    data: { jobId, ...(timeoutMs === undefined ? {} : { timeoutMs: timeoutMs(n) }) },
    opts: { jobId: `${PROJECT}.${jobId}`, delay: delayMs },
  }));
}

export const sum = (numbers: readonly number[]) => numbers.reduce((total, n) => total + n, 0);

/** A run takes minutes: what it has found so far is shown at once. */
export function report(rows: readonly Row[]): void {
  process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
}
