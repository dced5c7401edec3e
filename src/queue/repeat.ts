import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Repeats an action, with a pause after each time, until the signal. Errors are reported, and stop nothing.
 */
export async function repeat(
  action: () => Promise<void>,
  pauseMs: number,
  signal: AbortSignal,
  onError: (error: unknown) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await action();
    } catch (error) {
      if (!signal.aborted) onError(error);
    }
    await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {});
  }
}
