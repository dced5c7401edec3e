import { isatty } from 'node:tty';
import { concealSecrets } from '../lib/secret.js';

/** What is left to write when a service stops, or an error ends the process, may take this long at the most. */
const FLUSH_LIMIT_MS = 1_000;

/** Whether standard output carries a log, without which the process goes on, or what the user asked for. */
let logs = false;
let isStopping = false;
let outputFailed = false;
let report = (error: unknown) => complain(`uncaught error: ${(error as Error | undefined)?.stack ?? error}`);

/** Says on standard error what is wrong, without secrets. */
export function complain(text: string): void {
  try {
    process.stderr.write(`cfw-job-poller: ${concealSecrets(text)}\n`);
  } catch {
    // A full disk: the exit code still says that something was wrong.
  }
}

/**
 * From now on standard output is a log that may be lost: nothing stops because of it.
 *
 * @param onUncaught logs an error that nothing has caught.
 */
export function logToOutput(onUncaught: (error: unknown) => void): void {
  logs = true;
  report = onUncaught;
}

/**
 * Uncaught errors and unhandled rejections end the process with code 1. Node would print them with all their properties, and
 * an error about an invalid URL has the URL with its password.
 */
export function endOnUncaught(): void {
  let ends = false;
  process.on('uncaughtException', (error) => {
    if (ends) process.exit(1);
    ends = true;
    try {
      report(error);
    } catch {
      // What cannot be reported still ends the process.
    }
    isStopping = true;
    endProcess(1);
  });
}

/**
 * Ends the process once what was printed has reached its reader. A slow reader is waited for as long as it takes, but neither
 * for a log nor after a signal to stop.
 */
export function endProcess(code: number): void {
  process.exitCode = code;
  const exit = () => process.exit(code === 0 && outputFailed ? 1 : code);
  if (logs || isStopping) setTimeout(exit, FLUSH_LIMIT_MS);
  // The callback of a write that fails comes before the error is reported.
  process.stdout.write('', () => setImmediate(exit));
}

/**
 * Stops when what was asked for cannot be printed any more: a reader that is gone (`watch | head`) has seen enough, which is no
 * failure; anything else is.
 */
export function stopWithoutOutput(stop: AbortController): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (logs) return;
    if (error.code !== 'EPIPE') {
      if (!outputFailed) complain(`standard output: ${error.message}`);
      outputFailed = true;
    }
    stop.abort();
  });
  // A closed standard error must not end what it reports on.
  process.stderr.on('error', () => {});
}

/**
 * SIGHUP ends only a process that has a terminal to lose. `nohup` has the signal ignored, but Node restores its default before
 * any code of ours runs; what `nohup` leaves to be seen is that no standard stream is a terminal.
 */
export function ignoreHangUpWithoutTerminal(): void {
  if (!hasTerminal()) process.on('SIGHUP', () => {});
}

/** SIGINT, SIGTERM, and SIGHUP with a terminal, abort this; a second one ends the process at once with code 1. */
export function stopOnSignals(stop: AbortController): void {
  const onSignal = () => {
    if (isStopping) process.exit(1);
    isStopping = true;
    stop.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  if (hasTerminal()) process.on('SIGHUP', onSignal);
}

const hasTerminal = () => [0, 1, 2].some((descriptor) => isatty(descriptor));
