import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Simulator } from './server.js';

/** What to export for one kind of credentials, and what it is for. */
export interface KindEnvironment {
  readonly kind: string;
  readonly env: Readonly<Record<string, string>>;
}

/**
 * The environment of each kind of credentials against a simulator, without the endpoint and the project.
 *
 * @param folder takes the files that some kinds read: tokens, `credentials`, `clouds.yaml`.
 */
export async function kindEnvironments(simulator: Simulator, folder: string): Promise<readonly KindEnvironment[]> {
  const { url, token, iam, key, sources } = simulator;
  const { podIdentity, oidc, role } = sources;
  const { applicationCredential: app } = iam;
  await mkdir(folder, { recursive: true });
  const file = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, `${text}\n`, { mode: 0o600 });
    return path;
  };
  const aksk = { HUAWEICLOUD_SDK_AK: key.accessKey, HUAWEICLOUD_SDK_SK: key.secretKey };
  const profile = `[basic]\nak = ${key.accessKey}\nsk = ${key.secretKey}\niam_endpoint = ${url}`;
  const clouds = `clouds:
  simulator:
    region_name: simulator-region
    auth:
      auth_url: ${url}
      username: ${iam.user}
      user_domain_name: ${iam.domain}
  simulator-application:
    auth_type: v3applicationcredential
    auth:
      auth_url: ${url}
      application_credential_id: ${app.id}`;
  const secure = `clouds:
  simulator:
    auth: {password: ${iam.password}}
  simulator-application:
    auth: {application_credential_secret: ${app.secret}}`;
  await file('secure.yaml', secure);
  const cloudsFile = await file('clouds.yaml', clouds);
  return [
    { kind: 'token', env: { CFW_AUTH_TOKEN: token } },
    { kind: 'aksk', env: aksk },
    {
      kind: 'iam',
      env: {
        OS_AUTH_URL: `${url}/v3`,
        OS_USERNAME: iam.user,
        OS_PASSWORD: iam.password,
        OS_USER_DOMAIN_NAME: iam.domain,
      },
    },
    {
      kind: 'iam, by an application credential',
      env: {
        OS_AUTH_URL: url,
        OS_APPLICATION_CREDENTIAL_ID: app.id,
        OS_APPLICATION_CREDENTIAL_SECRET: app.secret,
      },
    },
    {
      kind: 'pod-identity',
      env: {
        HC_CONTAINER_CREDENTIALS_FULL_URI: `${url}/pod-identity/credentials`,
        HC_CONTAINER_AUTHORIZATION_TOKEN_FILE: await file('pod-token', podIdentity.token),
      },
    },
    { kind: 'ecs-agency', env: { CFW_CREDENTIALS: 'ecs-agency', CFW_METADATA_ENDPOINT: url } },
    {
      kind: 'oidc',
      env: {
        HUAWEICLOUD_SDK_IDP_ID: oidc.idpId,
        HUAWEICLOUD_SDK_ID_TOKEN_FILE: await file('id-token', oidc.jwt),
        HUAWEICLOUD_SDK_IAM_ENDPOINT: url,
      },
    },
    { kind: 'profile', env: { HUAWEICLOUD_SDK_CREDENTIALS_FILE: await file('credentials', profile) } },
    { kind: 'cloud', env: { OS_CLOUD: 'simulator', OS_CLIENT_CONFIG_FILE: cloudsFile } },
    {
      kind: 'cloud, by an application credential',
      env: { OS_CLOUD: 'simulator-application', OS_CLIENT_CONFIG_FILE: cloudsFile },
    },
    {
      kind: 'aksk, with a role on top',
      env: {
        ...aksk,
        HW_ASSUME_ROLE_AGENCY_NAME: role.agencyName,
        HW_ASSUME_ROLE_DOMAIN_NAME: role.domainName,
        HUAWEICLOUD_SDK_IAM_ENDPOINT: url,
      },
    },
  ];
}
