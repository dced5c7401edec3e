import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until `look` returns something truthy, and returns that; what it throws counts as not yet. */
export async function eventually<T>(
  look: () => T | Promise<T>,
  { timeoutMs = 60_000, everyMs = 25, what = 'this' } = {},
): Promise<Exclude<T, false | null | undefined>> {
  let problem: unknown;
  for (const until = Date.now() + timeoutMs; Date.now() < until; ) {
    try {
      const seen = await look();
      if (seen) return seen as Exclude<T, false | null | undefined>;
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    await sleep(everyMs);
  }
  throw new Error(`${what} did not come about within ${timeoutMs} ms`, { cause: problem });
}
