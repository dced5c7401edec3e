import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { ID_PATTERN } from '../../lib/id.js';
import { Secret } from '../../lib/secret.js';
import { iamSource, readCa } from './environment.js';
import { type Reading, readable, secure } from './reading.js';
import type { DomainRef, Found, IdentityConfig } from './types.js';

type Tree = Readonly<Record<string, unknown>>;

const FOLDERS = () => ['.', join(homedir(), '.config', 'openstack'), '/etc/openstack'];

/** One cloud of `clouds.yaml`, with the secrets of `secure.yaml` laid over it. */
class CloudFile {
  readonly name: string;
  readonly files: readonly string[];
  readonly #clouds: readonly Tree[];
  readonly #secretFiles: Reading['secretFiles'];

  constructor(name: string, files: readonly string[], secretFiles: Reading['secretFiles']) {
    this.name = name;
    this.files = files;
    this.#secretFiles = secretFiles;
    this.#clouds = files.map((file) => cloudIn(readFileSync(file, 'utf8'), name) ?? {});
  }

  get isThere(): boolean {
    return this.#clouds.some((cloud) => Object.keys(cloud).length > 0);
  }

  /** A value by its path, such as `auth.username`; of `secure.yaml` first. */
  value(path: string): string | undefined {
    return textAt(this.#clouds[this.#indexOf(path)] ?? {}, path);
  }

  /** A value that follows the file that holds it. */
  secret(path: string): Secret | undefined {
    const file = this.files[this.#indexOf(path)];
    if (file === undefined || this.value(path) === undefined) return undefined;
    const followed = Secret.fromFile(file, { pick: (text) => textAt(cloudIn(text, this.name) ?? {}, path) ?? '' });
    this.#secretFiles[`OS_CLOUD (${path})`] = followed;
    return followed;
  }

  #indexOf(path: string): number {
    return this.#clouds.findLastIndex((cloud) => textAt(cloud, path) !== undefined);
  }
}

export function readCloud(reading: Reading): Found | undefined {
  const { parsed, problems } = reading;
  const { OS_CLOUD: name, OS_CLIENT_CONFIG_FILE: named } = parsed;
  if (name === undefined) {
    problems.push('OS_CLOUD is needed for credentials of the kind cloud: the name of a cloud in clouds.yaml');
    return undefined;
  }
  const file = named ?? firstOf(['clouds.yaml', 'clouds.yml']);
  if (file === undefined) {
    problems.push(
      `OS_CLOUD: the kind cloud needs a clouds.yaml in ${FOLDERS().join(', ')}, or the file that OS_CLIENT_CONFIG_FILE names`,
    );
    return undefined;
  }
  if (readable(reading, 'OS_CLIENT_CONFIG_FILE', file) === undefined) return undefined;
  const beside = ['secure.yaml', 'secure.yml'].map((one) => join(dirname(file), one)).find((one) => existsSync(one));
  const secure = beside ?? firstOf(['secure.yaml', 'secure.yml']);
  let cloud: CloudFile;
  try {
    cloud = new CloudFile(name, secure === undefined ? [file] : [file, secure], reading.secretFiles);
  } catch (error) {
    // The message of the parser shows the line, which may hold a password.
    const { code = 'no YAML' } = error as { code?: string };
    problems.push(`OS_CLOUD: "${secure === undefined ? file : `${file}" or "${secure}`}" cannot be parsed (${code})`);
    return undefined;
  }
  if (!cloud.isThere) {
    problems.push(
      `OS_CLOUD: "${name}" is no cloud of "${file}"; the kind cloud needs one of the names below "clouds:"`,
    );
    return undefined;
  }
  return found(reading, cloud, `cloud "${name}" of "${file}"`);
}

function found(reading: Reading, cloud: CloudFile, where: string): Found | undefined {
  const { problems } = reading;
  const projectId = cloud.value('auth.project_id') ?? cloud.value('auth.tenant_id');
  if (projectId !== undefined && !ID_PATTERN.test(projectId)) {
    problems.push(`auth.project_id in ${where} is invalid; expected 1 to 64 of A-Z a-z 0-9 _ -`);
    return undefined;
  }
  if (cloud.value('verify') === 'false') {
    problems.push(`verify in ${where} is false, which the kind cloud does not allow; name the authority by cacert`);
    return undefined;
  }
  const ca = readCa(reading, `cacert in ${where}`, cloud.value('cacert'));
  const more = { projectId, region: cloud.value('region_name'), ca };
  const accessKey = cloud.secret('auth.ak') ?? cloud.secret('auth.access_key');
  const secretKey = cloud.secret('auth.sk') ?? cloud.secret('auth.secret_key');
  if (accessKey !== undefined && secretKey !== undefined && cloud.value('auth.password') === undefined) {
    return {
      source: { kind: 'aksk', accessKey, secretKey, securityToken: cloud.secret('auth.security_token') },
      ...more,
    };
  }
  const identity = identityOf(reading, cloud, where);
  const authUrl = cloud.value('auth.auth_url');
  if (authUrl === undefined || !/^https?:\/\/[^\s?#@]+$/i.test(authUrl) || !URL.canParse(authUrl)) {
    problems.push(`auth.auth_url in ${where} is missing or no URL; the kind cloud needs https://…`);
    return undefined;
  }
  secure(reading, `auth.auth_url in ${where}`, authUrl);
  if (identity === undefined) return undefined;
  const projectName = cloud.value('auth.project_name');
  const domain = domainOf(cloud, 'project') ?? domainOf(cloud, 'user');
  return {
    source: iamSource(reading, authUrl, identity),
    project: projectName === undefined || domain === undefined ? undefined : { name: projectName, domain },
    ...more,
  };
}

function identityOf({ problems }: Reading, cloud: CloudFile, where: string): IdentityConfig | undefined {
  const lacks = (...keys: string[]) => {
    const missing = keys.filter((key) => cloud.value(key) === undefined);
    if (missing.length > 0) problems.push(`${missing.join(' and ')} missing in ${where}, which the kind cloud needs`);
    return undefined;
  };
  const type =
    cloud.value('auth_type') ??
    (cloud.value('auth.application_credential_id') ? 'v3applicationcredential' : 'password');
  switch (type) {
    case 'v3applicationcredential': {
      const id = cloud.value('auth.application_credential_id');
      const secret = cloud.secret('auth.application_credential_secret');
      if (id === undefined || secret === undefined) {
        return lacks('auth.application_credential_id', 'auth.application_credential_secret');
      }
      return { method: 'application_credential', id, secret };
    }
    case 'token':
    case 'v3token': {
      const token = cloud.secret('auth.token');
      return token === undefined ? lacks('auth.token') : { method: 'token', token };
    }
    case 'password':
    case 'v3password': {
      const password = cloud.secret('auth.password');
      const id = cloud.value('auth.user_id');
      if (password !== undefined && id !== undefined) return { method: 'password', user: { id }, password };
      const name = cloud.value('auth.username');
      const domain = domainOf(cloud, 'user');
      if (password === undefined || name === undefined) return lacks('auth.password', 'auth.username');
      if (domain === undefined) return lacks('auth.user_domain_name');
      return { method: 'password', user: { name, domain }, password };
    }
    default:
      problems.push(
        `auth_type in ${where} is "${type}"; the kind cloud allows password, v3password, token, v3token and v3applicationcredential`,
      );
      return undefined;
  }
}

function domainOf(cloud: CloudFile, of: 'user' | 'project'): DomainRef | undefined {
  for (const prefix of [`${of}_domain`, 'domain']) {
    const id = cloud.value(`auth.${prefix}_id`);
    if (id !== undefined) return { id };
    const name = cloud.value(`auth.${prefix}_name`);
    if (name !== undefined) return { name };
  }
  const id = cloud.value('auth.default_domain');
  return id === undefined ? undefined : { id };
}

function firstOf(names: readonly string[]): string | undefined {
  return FOLDERS()
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((file) => existsSync(file));
}

function cloudIn(text: string, name: string): Tree | undefined {
  // Loaded here, since no other kind needs it.
  const { parse } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
  return treeAt(treeAt(parse(text), 'clouds'), name);
}

function treeAt(tree: unknown, key: string): Tree | undefined {
  const value = Object.hasOwn(Object(tree), key) ? (tree as Tree)[key] : undefined;
  return typeof value === 'object' && value !== null ? (value as Tree) : undefined;
}

/** Numbers and flags are texts here: a password may look like a number. */
function textAt(tree: Tree, path: string): string | undefined {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce<Tree | undefined>((at, key) => treeAt(at, key), tree);
  const value = parent !== undefined && Object.hasOwn(parent, last) ? parent[last] : undefined;
  if (!['string', 'number', 'boolean'].includes(typeof value)) return undefined;
  const text = String(value).trim();
  return text === '' ? undefined : text;
}
