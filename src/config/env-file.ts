import { readFileSync, statSync } from 'node:fs';
import { devNull } from 'node:os';
import { parseEnv } from 'node:util';
import { ConfigError } from './error.js';

/**
 * Adds the variables of a file such as `.env` to the environment; what is set there already stays. Editors of Windows begin
 * it with a byte order mark, or write UTF-16; Docker makes a folder of it when it is a bind mount without a file.
 *
 * @returns what the user should know: that it is a folder, and was not read.
 * @throws {ConfigError} when it is there and cannot be read; a named pipe would have to be waited for.
 */
export function loadEnvFile(file: string, env: NodeJS.ProcessEnv): string | undefined {
  let text: string;
  const expected = 'expected a text file of lines NAME=value, or none';
  try {
    const state = statSync(file, { throwIfNoEntry: false });
    if (state === undefined) return undefined;
    if (state.isDirectory()) return `${file} is a folder and was not read`;
    // People hide a file by mounting /dev/null in its place.
    if (!state.isFile() && state.rdev !== statSync(devNull).rdev) {
      throw new ConfigError([`${file} is a named pipe, a socket or a device and was not read; ${expected}`]);
    }
    text = decode(readFileSync(file));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError([`${file} cannot be read (${code}); ${expected}`], { cause: error });
  }
  for (const [name, value] of Object.entries(parseEnv(text))) env[name] ??= value;
  return undefined;
}

function decode(bytes: Buffer): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : 'utf-8';
  // It drops a byte order mark.
  return new TextDecoder(encoding, { fatal: true }).decode(bytes);
}
