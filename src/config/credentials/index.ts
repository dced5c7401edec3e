import { ID_PATTERN } from '../../lib/id.js';
import type { Secret } from '../../lib/secret.js';
import type { Given, Parsed, Secrets } from '../environment.js';
import { proxyFor } from '../proxy.js';
import { CREDENTIAL_KINDS, type CredentialKind, REGION_PATTERN, SECRET_VARIABLES } from '../variables.js';
import { readCloud } from './cloud.js';
import {
  iamEndpointOf,
  readAksk,
  readEcsAgency,
  readIam,
  readOidc,
  readPodIdentity,
  readToken,
} from './environment.js';
import { readProfile } from './profile.js';
import { projectOf, type Reading, regionEndpoint, regionOf, withAliases } from './reading.js';
import type { CredentialsConfig, Found, ProjectRef, RoleConfig, SourceConfig } from './types.js';

export { isPlainBeyondLoopback, projectOf, regionEndpoint, regionOf } from './reading.js';
export type { CredentialsConfig, RoleConfig, SourceConfig } from './types.js';

/** What is asked of Keystone before anything else, since no variable says it. */
export interface DiscoveryConfig {
  readonly login: Extract<SourceConfig, { kind: 'iam' }>;
  /** The project that the catalogue is asked for; an application credential has its own. */
  readonly project: ProjectRef | undefined;
  readonly region: string | undefined;
  readonly allowHttp: boolean;
}

/** All that has to do with who we are, and where CFW is. */
export interface Identity {
  readonly credentials: CredentialsConfig;
  readonly projectId: string | undefined;
  /** Base URL of CFW; undefined if Keystone's catalogue has to be asked. */
  readonly endpoint: string | undefined;
  /** The proxy to CFW. */
  readonly proxy: Secret | undefined;
  /** What has to be asked first; undefined if everything is known. */
  readonly discovery: DiscoveryConfig | undefined;
  readonly ca: string | undefined;
  /** The secrets that follow a file which holds more than them. */
  readonly secretFiles: Readonly<Record<string, Secret>>;
}

interface Kind {
  readonly read: (reading: Reading) => Found | undefined;
  /** One of these chooses the kind. */
  readonly chosenBy: readonly string[];
  /** These choose it if no other kind is chosen, so that what is missing can be named. */
  readonly also?: readonly string[];
}

const KINDS: Record<CredentialKind, Kind> = {
  aksk: {
    read: readAksk,
    chosenBy: [
      ...withAliases('HUAWEICLOUD_SDK_AK'),
      ...withAliases('HUAWEICLOUD_SDK_SK'),
      ...withAliases('HUAWEICLOUD_SDK_SECURITY_TOKEN'),
    ],
  },
  iam: {
    read: readIam,
    chosenBy: ['OS_PASSWORD', 'OS_APPLICATION_CREDENTIAL_ID', 'OS_APPLICATION_CREDENTIAL_SECRET'],
    also: ['OS_AUTH_URL', 'OS_USERNAME', 'OS_USER_ID', 'OS_USER_DOMAIN_NAME', 'OS_USER_DOMAIN_ID'],
  },
  token: { read: readToken, chosenBy: withAliases('CFW_AUTH_TOKEN') },
  'pod-identity': {
    read: readPodIdentity,
    chosenBy: ['HC_CONTAINER_CREDENTIALS_FULL_URI', 'HC_CONTAINER_AUTHORIZATION_TOKEN_FILE'],
  },
  // No variable is there for it, and asking an address that does not answer would cost everyone else a time-out.
  'ecs-agency': { read: readEcsAgency, chosenBy: [] },
  oidc: { read: readOidc, chosenBy: ['HUAWEICLOUD_SDK_IDP_ID', 'HUAWEICLOUD_SDK_ID_TOKEN_FILE'] },
  profile: {
    read: readProfile,
    chosenBy: ['HUAWEICLOUD_SDK_CREDENTIALS_FILE'],
    also: ['HUAWEICLOUD_SDK_PROFILE'],
  },
  cloud: { read: readCloud, chosenBy: ['OS_CLOUD'], also: ['OS_CLIENT_CONFIG_FILE'] },
};

/** Reads the one kind of credentials, and what belongs to it; what is wrong is added to the problems. */
export function readIdentity(
  parsed: Partial<Parsed>,
  secrets: Secrets,
  given: Given,
  problems: string[],
): Identity | undefined {
  const kind = choose(parsed, given, problems);
  const secretFiles: Reading['secretFiles'] = {};
  const reading = kind === undefined ? undefined : { kind, parsed, secrets, given, problems, secretFiles };
  const found = reading === undefined ? undefined : KINDS[reading.kind].read(reading);
  const role = reading === undefined || found === undefined ? undefined : readRole(reading, found);
  const place = readPlace(parsed, given, kind, found, problems);
  if (kind === undefined || found === undefined || place === undefined) return undefined;
  const variables = [...KINDS[kind].chosenBy, ...(KINDS[kind].also ?? [])]
    .filter(given)
    .map((name) => (isSecret(name) && given(`${name}_FILE`) ? `${name}_FILE` : name));
  return {
    credentials: {
      kind,
      variables: variables.length > 0 ? variables : ['CFW_CREDENTIALS'],
      source: found.source,
      role,
    },
    ca: found.ca,
    secretFiles,
    ...place,
  };
}

/** The kind that is asked for, else the one whose variables are set. */
function choose({ CFW_CREDENTIALS }: Partial<Parsed>, given: Given, problems: string[]): CredentialKind | undefined {
  if (CFW_CREDENTIALS === undefined) return undefined;
  if (CFW_CREDENTIALS !== 'auto') return CFW_CREDENTIALS;
  const setOf = (names: readonly string[] = []) => names.filter(given);
  let begun = CREDENTIAL_KINDS.filter((kind) => setOf(KINDS[kind].chosenBy).length > 0);
  if (begun.length === 0) begun = CREDENTIAL_KINDS.filter((kind) => setOf(KINDS[kind].also).length > 0);
  if (begun.length === 1) return begun[0];
  const tell = (kind: CredentialKind, names: readonly string[]) => `${kind} (${names.join(', ')})`;
  if (begun.length === 0) {
    const ways = CREDENTIAL_KINDS.filter((kind) => kind !== 'ecs-agency').map((kind) =>
      tell(kind, [...(KINDS[kind].also ?? []), ...KINDS[kind].chosenBy].slice(0, 6)),
    );
    problems.push(
      `credentials: none are set; expected exactly one kind of ${ways.join(', ')}, or CFW_CREDENTIALS=ecs-agency; secrets also as <NAME>_FILE`,
    );
  } else {
    const found = begun.map((kind) => tell(kind, setOf([...KINDS[kind].chosenBy, ...(KINDS[kind].also ?? [])])));
    problems.push(
      `credentials: ${found.join(' and ')} are set; expected exactly one kind, or CFW_CREDENTIALS=${begun[0]}, say, to pick one`,
    );
  }
  return undefined;
}

const isSecret = (name: string) => (SECRET_VARIABLES as readonly string[]).includes(name);

function readRole(reading: Reading, { source, iamEndpoint: fromFile }: Found): RoleConfig | undefined {
  const { parsed, given, problems, kind } = reading;
  const agencyName = parsed.HW_ASSUME_ROLE_AGENCY_NAME;
  const { HW_ASSUME_ROLE_DOMAIN_ID: id, HW_ASSUME_ROLE_DOMAIN_NAME: name, HW_ASSUME_ROLE_DURATION } = parsed;
  if (agencyName === undefined) {
    const other = ['HW_ASSUME_ROLE_DOMAIN_NAME', 'HW_ASSUME_ROLE_DOMAIN_ID'].find(given);
    if (other !== undefined) problems.push(`${other} is set; a role needs HW_ASSUME_ROLE_AGENCY_NAME, too`);
    return undefined;
  }
  if (source.kind === 'iam' || source.kind === 'token') {
    problems.push(
      `HW_ASSUME_ROLE_AGENCY_NAME is set; a role needs a kind that gives keys, which ${kind} does not here: it gives tokens`,
    );
    return undefined;
  }
  if (id === undefined && name === undefined) {
    problems.push(
      'HW_ASSUME_ROLE_DOMAIN_NAME or HW_ASSUME_ROLE_DOMAIN_ID is needed with HW_ASSUME_ROLE_AGENCY_NAME: the account of the agency',
    );
    return undefined;
  }
  const iamEndpoint = iamEndpointOf(reading, 'a role (HW_ASSUME_ROLE_AGENCY_NAME)', fromFile);
  if (iamEndpoint === undefined) return undefined;
  return {
    iamEndpoint,
    agencyName,
    domain: id === undefined ? { domain_name: name ?? '' } : { domain_id: id },
    durationSeconds: HW_ASSUME_ROLE_DURATION ?? 3_600,
    proxy: proxyFor(iamEndpoint, problems),
  };
}

/** Where CFW is, and the project of jobs that name none: by variables, by the file of the kind, or by Keystone later. */
function readPlace(
  parsed: Partial<Parsed>,
  given: Given,
  kind: CredentialKind | undefined,
  found: Found | undefined,
  problems: string[],
): Pick<Identity, 'endpoint' | 'proxy' | 'projectId' | 'discovery'> | undefined {
  const projectId = projectOf(parsed) ?? found?.projectId;
  const region = regionOf(parsed) ?? found?.region;
  const endpoint = parsed.CFW_ENDPOINT ?? endpointOf(parsed, region, found);
  const proxy = endpoint === undefined ? undefined : proxyFor(endpoint, problems);
  const login = found?.source.kind === 'iam' ? found.source : undefined;
  const isAsked = (['iam', 'cloud'] as (CredentialKind | undefined)[]).includes(kind);
  // A problem of its own is told elsewhere, and what cannot be read yet may give the endpoint.
  if (endpoint === undefined && (given('CFW_ENDPOINT') || given('CFW_REGION') || (isAsked && found === undefined))) {
    return undefined;
  }
  if (endpoint === undefined && login === undefined) {
    problems.push(
      'CFW_ENDPOINT or CFW_REGION is needed: the base URL of CFW, or a region of Huawei Cloud such as cn-north-4',
    );
    return undefined;
  }
  const needsProject = projectId === undefined && found?.project !== undefined;
  if (login === undefined || (endpoint !== undefined && !needsProject))
    return { endpoint, proxy, projectId, discovery: undefined };
  const project = projectId === undefined ? found?.project : { id: projectId };
  if (project === undefined && login.identity.method !== 'application_credential') {
    problems.push(
      'CFW_ENDPOINT or CFW_REGION is needed, or CFW_PROJECT_ID (OS_PROJECT_NAME): the catalogue of IAM that has the endpoint is that of a project',
    );
    return undefined;
  }
  const discovery = { login, project, region, allowHttp: parsed.CFW_ALLOW_HTTP === true };
  return { endpoint, proxy, projectId, discovery };
}

/**
 * Endpoints by region are Huawei Cloud's. OpenStack's names of regions occur in other clouds too (eu-de is one of Open
 * Telekom Cloud), so with a login they only count at an IAM of Huawei Cloud; elsewhere the catalogue has the endpoint.
 */
function endpointOf({ CFW_REGION }: Partial<Parsed>, region: string | undefined, found: Found | undefined) {
  if (CFW_REGION !== undefined) return regionEndpoint('cfw', CFW_REGION);
  if (region === undefined || !REGION_PATTERN.test(region)) return undefined;
  const { source } = found ?? {};
  if (source?.kind === 'iam' && !/\.myhuaweicloud\.(com|eu|cn)$/.test(new URL(source.authUrl).hostname)) {
    return undefined;
  }
  return regionEndpoint('cfw', region);
}

/** Whether the id of a project that Keystone told can be part of a URL. */
export const isProjectId = (text: string) => ID_PATTERN.test(text);
