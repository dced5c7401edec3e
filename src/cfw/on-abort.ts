/**
 * Calls back when a signal is aborted, or at once if it was.
 *
 * @returns how to stop listening: a signal that lives long must not collect listeners.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) listener();
  else signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}
