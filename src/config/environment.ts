import type * as z from 'zod';
import { Secret, type SecretFileError } from '../lib/secret.js';
import { environmentSchema, SECRET_VARIABLES } from './variables.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the texts of the variables mean. */
export type Parsed = z.output<typeof environmentSchema>;

/** The secrets among them, by the name of their variable. */
export type Secrets = Partial<Record<(typeof SECRET_VARIABLES)[number], Secret>>;

/** Whether a variable is set, be it by itself or as a file. */
export type Given = (name: string) => boolean;

/** Reads each variable by itself, secrets also from their files; what is invalid is among the problems. */
export function parseEnvironment(env: Environment) {
  const problems: string[] = [];
  const secrets: Secrets = {};
  const secretFiles: Record<string, Secret> = {};
  const texts: Record<string, string> = {};

  for (const name of Object.keys(environmentSchema.shape)) {
    const text = env[name];
    if (isSet(text)) texts[name] = text;
  }
  for (const name of SECRET_VARIABLES) {
    const file = env[`${name}_FILE`];
    if (isSet(file)) {
      if (texts[name] !== undefined) {
        problems.push(`${name} and ${name}_FILE are both set; expected one of them`);
        continue;
      }
      try {
        const secret = Secret.fromFile(file, { check: (text) => problemOf(name, text) });
        secrets[name] = secret;
        texts[name] = secret.reveal();
        secretFiles[`${name}_FILE`] = secret;
      } catch (error) {
        const { message } = error as SecretFileError;
        problems.push(`${name}_FILE: "${file}" ${message}; expected a readable file that holds the value on one line`);
      }
    } else if (texts[name] !== undefined) {
      secrets[name] = new Secret(texts[name]);
    }
  }

  // One variable at a time, so that a wrong one does not hide what is wrong with the others.
  const parsed: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(environmentSchema.shape)) {
    const { success, data, error } = schema.safeParse(texts[name]);
    if (success) parsed[name] = data;
    // A URL that has a user may have a password, too.
    const hidden = isSecret(name) || texts[name]?.includes('@');
    const given = hidden ? 'the value (not shown)' : `"${texts[name]}"`;
    const [issue] = error?.issues ?? [];
    if (issue !== undefined) problems.push(`${name}: ${given} is invalid; ${issue.message}`);
  }
  return { parsed: parsed as Partial<Parsed>, secrets, secretFiles, problems };
}

/** What is wrong with the text of a secret, which is not repeated; undefined when it is good. */
function problemOf(name: (typeof SECRET_VARIABLES)[number], text: string): string | undefined {
  const issue = environmentSchema.shape[name].safeParse(text).error?.issues[0];
  return issue === undefined ? undefined : `holds a value that is not valid; ${issue.message}`;
}

export const givenIn =
  (env: Environment): Given =>
  (name) =>
    isSet(env[name]) || (isSecret(name) && isSet(env[`${name}_FILE`]));

const isSecret = (name: string) => (SECRET_VARIABLES as readonly string[]).includes(name);

const isSet = (text: string | undefined): text is string => text !== undefined && text !== '';
