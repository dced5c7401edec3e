import pino, { type DestinationStream, type Logger } from 'pino';
import type { LOG_LEVELS } from '../config/index.js';
import { prettyLine } from './pretty.js';

export type { Logger } from 'pino';

/**
 * Logs to standard output: JSON lines, or readable ones where that is a terminal.
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
  if (destination !== undefined) return pino(options, destination);
  if (process.stdout.isTTY) {
    return pino(options, { write: (line) => process.stdout.write(prettyLine(line, !process.env.NO_COLOR)) });
  }
  return pino(options);
}

const SECRET_KEYS = ['authorization', 'password', 'token', 'secret', '["X-Auth-Token"]', '["x-auth-token"]'];
const SECRET_PATHS = SECRET_KEYS.flatMap((key) =>
  key.startsWith('[') ? [key, `*${key}`] : [key, `*.${key}`, `headers.${key}`],
);

/** Errors of libraries carry requests, headers and options along; what helps at night is these four. */
function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  return { type: error.name, message: error.message, ...(code === undefined ? {} : { code }), stack: error.stack };
}
