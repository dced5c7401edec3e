import { createRequire } from 'node:module';
import pino, { type DestinationStream, type Logger } from 'pino';
import type { LOG_LEVELS } from '../config/index.js';

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
    // Loaded where it is used: beside an application there is no terminal.
    const pretty = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
    return pino(options, pretty({ colorize: !process.env.NO_COLOR, translateTime: 'SYS:HH:MM:ss.l', sync: true }));
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
