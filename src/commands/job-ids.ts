import { ConfigError } from '../config/index.js';

/** A million ids have 40 MB. */
const MAX_INPUT_BYTES = 100_000_000;

/** The job ids that a command was given; `-` stands for the words of standard input. */
export async function readJobIds(given: readonly string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const id of given) {
    // One by one: a call cannot have hundreds of thousands of arguments.
    if (id !== '-') ids.push(id);
    else for (const word of (await standardInput()).split(/\s+/)) if (word !== '') ids.push(word);
  }
  return ids;
}

/** @throws {ConfigError} if it is too long, rather than fill the memory with what may never end. */
async function standardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    length += chunk.length;
    if (length > MAX_INPUT_BYTES) throw new ConfigError([`standard input has more than ${MAX_INPUT_BYTES} bytes`]);
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}
