import { text } from 'node:stream/consumers';

/** The job ids that a command was given; `-` stands for the words of standard input. */
export async function readJobIds(given: readonly string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const id of given) {
    // One by one: a call cannot have hundreds of thousands of arguments.
    if (id !== '-') ids.push(id);
    else for (const word of (await text(process.stdin)).split(/\s+/)) if (word !== '') ids.push(word);
  }
  return ids;
}
