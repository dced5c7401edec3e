import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Does something again and again, with a pause after each time, until told to stop. What goes wrong is told, and is no
 * reason to stop.
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
