import { readFileSync } from 'node:fs';
import { isLoopback } from '../../lib/loopback.js';
import type { Secret } from '../../lib/secret.js';
import type { Given, Parsed, Secrets } from '../environment.js';
import type { CredentialKind } from '../variables.js';

/** What the readers of the kinds read from, and where they put what is wrong. */
export interface Reading {
  readonly kind: CredentialKind;
  readonly parsed: Partial<Parsed>;
  readonly secrets: Secrets;
  readonly given: Given;
  readonly problems: string[];
  /** Secrets that follow a file, by the variable that names it and by their place in it. */
  readonly secretFiles: Record<string, Secret>;
}

/** Other names for the same value, as tools around the vendor's and OpenStack's have them. */
const ALIASES = {
  HUAWEICLOUD_SDK_AK: ['HW_ACCESS_KEY', 'OS_ACCESS_KEY'],
  HUAWEICLOUD_SDK_SK: ['HW_SECRET_KEY', 'OS_SECRET_KEY'],
  HUAWEICLOUD_SDK_SECURITY_TOKEN: ['HW_SECURITY_TOKEN'],
  CFW_AUTH_TOKEN: ['OS_TOKEN', 'HW_AUTH_TOKEN'],
} as const;

export type Aliased = keyof typeof ALIASES;

export const withAliases = (name: Aliased) => [name, ...ALIASES[name]] as const;

/** The secret by its name or an alias; different values are a problem. */
export function aliasedSecret({ secrets, problems }: Reading, name: Aliased): Secret | undefined {
  const [first, ...others] = withAliases(name).filter((one) => secrets[one] !== undefined);
  if (first === undefined) return undefined;
  const other = others.find((one) => secrets[one]?.reveal() !== secrets[first]?.reveal());
  if (other !== undefined) {
    problems.push(`${first} and ${other} are set to different values: they mean the same, so set one of them`);
  }
  return secrets[first];
}

/** Adds the problem that a variable of a kind is missing; one that is set but invalid has a problem of its own. */
export function need({ kind, given, problems }: Reading, name: string, hint = ''): void {
  if ((Object.hasOwn(ALIASES, name) ? withAliases(name as Aliased) : [name]).some(given)) return;
  problems.push(`${name} is needed for credentials of the kind ${kind}${hint === '' ? '' : `: ${hint}`}`);
}

/** Checks that a file can be read, so that a wrong path shows at the start. @returns its text; undefined if it cannot */
export function readable({ kind, problems }: Reading, variable: string, file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    problems.push(
      `${variable}: "${file}" cannot be read (${code}); the kind ${kind} needs the path of a readable file`,
    );
    return undefined;
  }
}

/** Adds a problem if secrets would go over plain http to another machine. */
export function secure({ parsed, problems }: Reading, subject: string, url: string): void {
  if (parsed.CFW_ALLOW_HTTP === false && isPlainBeyondLoopback(url)) {
    problems.push(`${subject}: "${url}" is plain http beyond loopback; expected https://, or set CFW_ALLOW_HTTP=true`);
  }
}

export function isPlainBeyondLoopback(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopback(hostname);
}

/** The region, by the first variable that is set. */
export const regionOf = ({ CFW_REGION, OS_REGION_NAME, HW_REGION_NAME }: Partial<Parsed>): string | undefined =>
  CFW_REGION ?? OS_REGION_NAME ?? HW_REGION_NAME;

/** The default project, by the first variable that is set. */
export const projectOf = (parsed: Partial<Parsed>): string | undefined =>
  parsed.CFW_PROJECT_ID ?? parsed.OS_PROJECT_ID ?? parsed.HUAWEICLOUD_SDK_PROJECT_ID ?? parsed.HW_PROJECT_ID;

/** `eu-west-101` and its kin live under `.eu`, all other regions under `.com` (the vendor's SDK lists them so). */
export function regionEndpoint(service: 'cfw' | 'iam', region: string): string {
  return `https://${service}.${region}.myhuaweicloud.${region.startsWith('eu-west-1') ? 'eu' : 'com'}`;
}
