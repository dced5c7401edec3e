import { readFileSync } from 'node:fs';

/** The lines of docs/redis.md that begin like this, with a password in the place of its example. */
export function documentedAcl(user: string, password: string): string[] {
  const docs = readFileSync(new URL('../../docs/redis.md', import.meta.url), 'utf8');
  const line = docs.split('\n').find((text) => text.startsWith(`ACL SETUSER ${user} `));
  if (line === undefined) throw new Error(`docs/redis.md has no ACL line for ${user}`);
  return line.replace('>secret', `>${password}`).split(' ').slice(2);
}

/** What docs/redis.md says to add in a Cluster. */
export const ACL_OF_CLUSTERS = ['+cluster|slots', '+cluster|info', '+readonly', '+readwrite'];
