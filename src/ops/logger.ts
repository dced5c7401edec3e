import { format } from 'node:util';
import pino, { type DestinationStream, type Logger } from 'pino';
import type { LOG_LEVELS } from '../config/index.js';
import { concealSecrets } from '../lib/secret.js';
import { logOutput } from './log-output.js';
import { prettyLine } from './pretty.js';

export type { Logger } from 'pino';

/**
 * Logs to standard output: JSON lines, or readable ones when that is a terminal.
 *
 * @param destination another place for JSON lines, for tests.
 */
export function createLogger(level: (typeof LOG_LEVELS)[number], destination?: DestinationStream): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: plainError },
    // Nothing of this is ever logged on purpose; this is the second lock.
    redact: { paths: SECRET_PATHS, censor: '[secret]' },
  };
  return pino(options, destination ?? standardOutput());
}

function standardOutput(): DestinationStream {
  if (!process.stdout.isTTY) return logOutput(process.stdout);
  return logOutput(process.stdout, (line) => prettyLine(line, !process.env.NO_COLOR));
}

const SECRET_KEYS = ['authorization', 'password', 'token', 'secret', '["X-Auth-Token"]', '["x-auth-token"]'];
const SECRET_PATHS = SECRET_KEYS.flatMap((key) =>
  key.startsWith('[') ? [key, `*${key}`] : [key, `*.${key}`, `headers.${key}`],
);

/** Errors of libraries carry requests, headers, options and input along; only these fields are logged, without secrets. */
function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? concealSecrets(error) : error;
  const { code } = error as NodeJS.ErrnoException;
  return {
    type: error.name,
    message: concealSecrets(error.message),
    ...(code === undefined ? {} : { code }),
    stack: concealSecrets(error.stack ?? ''),
    ...(error.cause instanceof Error ? { cause: plainError(error.cause) } : {}),
  };
}

/**
 * Takes what libraries print by `console` into the log, so that no plain line comes between its JSON. BullMQ prints what it thinks
 * of Redis's version and eviction policy: we judge both by ourselves, so its warnings are details.
 */
export function takeConsole(logger: Logger): void {
  const at =
    (level: 'debug' | 'warn') =>
    (...args: unknown[]) =>
      logger[level]({ text: concealSecrets(format(...args)) }, 'library message received');
  Object.assign(console, {
    log: at('debug'),
    info: at('debug'),
    debug: at('debug'),
    warn: at('debug'),
    error: at('warn'),
  });
}
