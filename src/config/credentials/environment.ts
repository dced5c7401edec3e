import { proxyFor } from '../proxy.js';
import {
  aliasedSecret,
  need,
  projectOf,
  type Reading,
  readable,
  regionEndpoint,
  regionOf,
  secure,
  withAliases,
} from './reading.js';
import type { DomainRef, Found, IdentityConfig } from './types.js';

// Readers of the kinds that the environment holds whole. Each adds what is missing to the problems.

export function readAksk(reading: Reading): Found | undefined {
  const accessKey = aliasedSecret(reading, 'HUAWEICLOUD_SDK_AK');
  const secretKey = aliasedSecret(reading, 'HUAWEICLOUD_SDK_SK');
  const securityToken = aliasedSecret(reading, 'HUAWEICLOUD_SDK_SECURITY_TOKEN');
  if (accessKey === undefined) need(reading, ...named('HUAWEICLOUD_SDK_AK', 'the access key'));
  if (secretKey === undefined) need(reading, ...named('HUAWEICLOUD_SDK_SK', 'the secret key'));
  if (accessKey === undefined || secretKey === undefined) return undefined;
  return { source: { kind: 'aksk', accessKey, secretKey, securityToken } };
}

export function readToken(reading: Reading): Found | undefined {
  const token = aliasedSecret(reading, 'CFW_AUTH_TOKEN');
  if (token === undefined) {
    need(reading, ...named('CFW_AUTH_TOKEN', 'a token that is scoped to the project'));
    return undefined;
  }
  return { source: { kind: 'token', token } };
}

export function readIam(reading: Reading): Found | undefined {
  const { parsed, problems } = reading;
  const ca = readCa(reading, 'OS_CACERT', parsed.OS_CACERT);
  const before = problems.length;
  const authUrl = parsed.OS_AUTH_URL;
  if (authUrl === undefined) need(reading, 'OS_AUTH_URL', 'the URL of IAM');
  else {
    secure(reading, 'OS_AUTH_URL', authUrl);
    // What else is missing must not hide a proxy that is invalid.
    proxyFor(authUrl, problems);
  }
  const domain = domainOf(parsed);
  const identity = isApplicationCredential(reading)
    ? readApplicationCredential(reading)
    : readPassword(reading, domain);
  if (authUrl === undefined || identity === undefined || problems.length > before) return undefined;
  const { OS_PROJECT_NAME: name } = parsed;
  return {
    source: iamSource(reading, authUrl, identity),
    project: name === undefined || domain === undefined ? undefined : { name, domain },
    ca,
  };
}

const isApplicationCredential = ({ given }: Reading) =>
  given('OS_APPLICATION_CREDENTIAL_ID') || given('OS_APPLICATION_CREDENTIAL_SECRET');

function readApplicationCredential(reading: Reading): IdentityConfig | undefined {
  const id = reading.parsed.OS_APPLICATION_CREDENTIAL_ID;
  const secret = reading.secrets.OS_APPLICATION_CREDENTIAL_SECRET;
  if (id === undefined) need(reading, 'OS_APPLICATION_CREDENTIAL_ID', 'the id of the application credential');
  if (secret === undefined) need(reading, 'OS_APPLICATION_CREDENTIAL_SECRET', 'its secret');
  return id === undefined || secret === undefined ? undefined : { method: 'application_credential', id, secret };
}

function readPassword(reading: Reading, domain: DomainRef | undefined): IdentityConfig | undefined {
  const { OS_USERNAME, OS_USER_ID } = reading.parsed;
  const password = reading.secrets.OS_PASSWORD;
  if (password === undefined) need(reading, 'OS_PASSWORD', 'the password of the user');
  if (OS_USERNAME === undefined && OS_USER_ID === undefined) need(reading, 'OS_USERNAME', 'or OS_USER_ID');
  if (OS_USERNAME !== undefined && OS_USER_ID === undefined && domain === undefined) {
    need(
      reading,
      'OS_USER_DOMAIN_NAME',
      'the account of the user, or OS_USER_DOMAIN_ID, OS_DOMAIN_ID, OS_DOMAIN_NAME or OS_DEFAULT_DOMAIN',
    );
  }
  if (password === undefined) return undefined;
  if (OS_USER_ID !== undefined) return { method: 'password', user: { id: OS_USER_ID }, password };
  if (OS_USERNAME === undefined || domain === undefined) return undefined;
  return { method: 'password', user: { name: OS_USERNAME, domain }, password };
}

function domainOf(parsed: Reading['parsed']): DomainRef | undefined {
  const names = ['OS_USER_DOMAIN_ID', 'OS_USER_DOMAIN_NAME', 'OS_DOMAIN_ID', 'OS_DOMAIN_NAME'] as const;
  const name = names.find((one) => parsed[one] !== undefined);
  // OpenStack's clients take this one for an id.
  if (name === undefined) return parsed.OS_DEFAULT_DOMAIN === undefined ? undefined : { id: parsed.OS_DEFAULT_DOMAIN };
  const text = parsed[name] ?? '';
  return name.endsWith('_ID') ? { id: text } : { name: text };
}

/** @param authUrl with or without `/v3`. */
export function iamSource(
  { problems }: Reading,
  authUrl: string,
  identity: IdentityConfig,
): Extract<Found['source'], { kind: 'iam' }> {
  const base = authUrl.replace(/\/+$/, '').replace(/\/v3$/, '');
  return { kind: 'iam', authUrl: `${base}/v3`, identity, proxy: proxyFor(base, problems) };
}

/** The authorities to trust in place of Node's. */
export function readCa(reading: Reading, variable: string, file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const text = readable(reading, variable, file);
  if (text === undefined || text.includes('-----BEGIN ')) return text;
  reading.problems.push(`${variable}: "${file}" holds nothing in PEM; expected a file that begins with -----BEGIN`);
  return undefined;
}

export function readPodIdentity(reading: Reading): Found | undefined {
  const uri = reading.parsed.HC_CONTAINER_CREDENTIALS_FULL_URI;
  const tokenFile = reading.parsed.HC_CONTAINER_AUTHORIZATION_TOKEN_FILE;
  const hint = 'CCE sets it in pods whose service account has a pod identity';
  if (uri === undefined) need(reading, 'HC_CONTAINER_CREDENTIALS_FULL_URI', hint);
  if (tokenFile === undefined) need(reading, 'HC_CONTAINER_AUTHORIZATION_TOKEN_FILE', hint);
  if (uri === undefined || tokenFile === undefined) return undefined;
  if (readable(reading, 'HC_CONTAINER_AUTHORIZATION_TOKEN_FILE', tokenFile) === undefined) return undefined;
  return { source: { kind: 'pod-identity', uri, tokenFile } };
}

export function readEcsAgency({ parsed }: Reading): Found | undefined {
  const endpoint = parsed.CFW_METADATA_ENDPOINT;
  if (endpoint === undefined) return undefined;
  return { source: { kind: 'ecs-agency', endpoint: endpoint.replace(/\/+$/, '') } };
}

export function readOidc(reading: Reading): Found | undefined {
  const { HUAWEICLOUD_SDK_IDP_ID: idpId, HUAWEICLOUD_SDK_ID_TOKEN_FILE: tokenFile } = reading.parsed;
  if (idpId === undefined) need(reading, 'HUAWEICLOUD_SDK_IDP_ID', 'the identity provider, by its id at IAM');
  if (tokenFile === undefined) need(reading, 'HUAWEICLOUD_SDK_ID_TOKEN_FILE', 'the file that holds the JWT itself');
  if (idpId === undefined || tokenFile === undefined) return undefined;
  if (readable(reading, 'HUAWEICLOUD_SDK_ID_TOKEN_FILE', tokenFile) === undefined) return undefined;
  return oidcFound(reading, { idpId, tokenFile });
}

/** @param file what a file says beside; variables come first. */
export function oidcFound(
  reading: Reading,
  { idpId, tokenFile }: { idpId: string; tokenFile: string },
  file: Pick<Found, 'projectId' | 'iamEndpoint'> = {},
): Found | undefined {
  const iamEndpoint = iamEndpointOf(reading, `credentials of the kind ${reading.kind}`, file.iamEndpoint);
  if (iamEndpoint === undefined) return undefined;
  const projectId = projectOf(reading.parsed) ?? file.projectId;
  const proxy = proxyFor(iamEndpoint, reading.problems);
  return { source: { kind: 'oidc', iamEndpoint, idpId, tokenFile, projectId, proxy } };
}

/** IAM without a version: by its variable, by a file, or by the region; a problem if nothing gives it. */
export function iamEndpointOf(reading: Reading, purpose: string, fromFile?: string | undefined): string | undefined {
  const { parsed, given, problems } = reading;
  const named = parsed.HUAWEICLOUD_SDK_IAM_ENDPOINT ?? fromFile;
  const region = regionOf(parsed);
  if (named === undefined && region === undefined) {
    if (!['HUAWEICLOUD_SDK_IAM_ENDPOINT', 'CFW_REGION', 'HW_REGION_NAME'].some(given)) {
      problems.push(`HUAWEICLOUD_SDK_IAM_ENDPOINT or CFW_REGION is needed for ${purpose}: where IAM is`);
    }
    return undefined;
  }
  const endpoint = (named ?? regionEndpoint('iam', region as string)).replace(/\/+$/, '');
  secure(reading, 'HUAWEICLOUD_SDK_IAM_ENDPOINT', endpoint);
  return endpoint;
}

function named(name: Parameters<typeof withAliases>[0], what: string): [string, string] {
  const [, ...aliases] = withAliases(name);
  return [name, `${what}, also as ${aliases.join(' or ')}`];
}
