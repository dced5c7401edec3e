import { readFileSync, statSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { ConfigError } from './error.js';

/**
 * Adds the variables of a file such as `.env` to the environment; what is set there already stays. Editors of Windows begin
 * it with a byte order mark, or write UTF-16; Docker makes a folder of it when it is a bind mount without a file.
 *
 * @returns what the user should know: that it is a folder, and was not read.
 * @throws {ConfigError} when it is there and cannot be read.
 */
export function loadEnvFile(file: string, env: NodeJS.ProcessEnv): string | undefined {
  let text: string;
  try {
    const state = statSync(file, { throwIfNoEntry: false });
    if (state === undefined) return undefined;
    if (state.isDirectory()) return `${file} is a folder and was not read`;
    text = decode(readFileSync(file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const problem = `${file} cannot be read (${code}); expected a text file of lines NAME=value, or none`;
    throw new ConfigError([problem], { cause: error });
  }
  for (const [name, value] of Object.entries(parseEnv(text))) env[name] ??= value;
  return undefined;
}

function decode(bytes: Buffer): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : 'utf-8';
  // It drops a byte order mark.
  return new TextDecoder(encoding, { fatal: true }).decode(bytes);
}
