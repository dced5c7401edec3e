import { text } from 'node:stream/consumers';

/** The job ids that a command was given; `-` stands for the words of standard input. */
export async function readJobIds(given: readonly string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const id of given) {
    if (id === '-') ids.push(...(await text(process.stdin)).split(/\s+/).filter((word) => word !== ''));
    else ids.push(id);
  }
  return ids;
}
