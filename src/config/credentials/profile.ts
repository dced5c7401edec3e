import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { ID_PATTERN } from '../../lib/id.js';
import { Secret } from '../../lib/secret.js';
import { oidcFound } from './environment.js';
import { type Reading, readable, secure } from './reading.js';
import type { Found } from './types.js';

/** A section of the file that the vendor's SDKs share. */
type Section = Readonly<Record<string, unknown>>;

/** `~/.huaweicloud/credentials`, or the file that is named. */
export function readProfile(reading: Reading): Found | undefined {
  const { parsed, problems, secretFiles } = reading;
  const named = parsed.HUAWEICLOUD_SDK_CREDENTIALS_FILE;
  const file = named ?? join(homedir(), '.huaweicloud', 'credentials');
  const profile = parsed.HUAWEICLOUD_SDK_PROFILE ?? 'basic';
  const text = readable(reading, 'HUAWEICLOUD_SDK_CREDENTIALS_FILE', file);
  if (text === undefined) return undefined;
  const section = sectionOf(text, profile);
  const where = `section [${profile}] of "${file}"`;
  if (section === undefined) {
    const hint = 'HUAWEICLOUD_SDK_PROFILE names another section';
    problems.push(`${where} is missing, which the kind profile needs; ${hint}`);
    return undefined;
  }
  const value = (key: string): string | undefined => textOf(section, key);
  const iamEndpoint = value('iam_endpoint');
  if (iamEndpoint !== undefined) {
    if (!/^https?:\/\/[^\s?#@]+$/i.test(iamEndpoint) || !URL.canParse(iamEndpoint)) {
      problems.push(`iam_endpoint in ${where} is no URL; the kind profile needs https://…`);
      return undefined;
    }
    secure(reading, `iam_endpoint in ${where}`, iamEndpoint);
  }
  const projectId = value('project_id');
  if (projectId !== undefined && !ID_PATTERN.test(projectId)) {
    problems.push(`project_id in ${where} is invalid; expected 1 to 64 of A-Z a-z 0-9 _ -`);
    return undefined;
  }
  const idpId = value('idp_id');
  const tokenFile = value('id_token_file');
  if (idpId !== undefined && tokenFile !== undefined) {
    const path = isAbsolute(tokenFile) ? tokenFile : join(process.cwd(), tokenFile);
    if (readable(reading, `id_token_file in ${where}`, path) === undefined) return undefined;
    const found = oidcFound(reading, { idpId, tokenFile: path }, { projectId, iamEndpoint });
    return found === undefined ? undefined : { ...found, projectId };
  }
  const missing = ['ak', 'sk'].filter((key) => value(key) === undefined);
  if (missing.length > 0) {
    problems.push(
      `${missing.join(' and ')} are missing in ${where}; the kind profile needs ak and sk, or idp_id and id_token_file`,
    );
    return undefined;
  }
  // The file is followed when it changes, as that of any secret is.
  const secret = (key: string) => {
    const pick = (now: string) => textOf(sectionOf(now, profile) ?? {}, key) ?? '';
    const followed = Secret.fromFile(file, { pick });
    secretFiles[`HUAWEICLOUD_SDK_CREDENTIALS_FILE (${key})`] = followed;
    return followed;
  };
  return {
    source: {
      kind: 'aksk',
      accessKey: secret('ak'),
      secretKey: secret('sk'),
      securityToken: value('security_token') === undefined ? undefined : secret('security_token'),
    },
    projectId,
    iamEndpoint,
  };
}

function sectionOf(text: string, profile: string): Section | undefined {
  // Loaded here, since no other kind needs it.
  const { parse } = createRequire(import.meta.url)('ini') as typeof import('ini');
  const section = parse(text)[profile];
  return typeof section === 'object' && section !== null ? (section as Section) : undefined;
}

function textOf(section: Section, key: string): string | undefined {
  const value = section[key];
  const text = typeof value === 'string' ? value.trim() : '';
  return text === '' ? undefined : text;
}
