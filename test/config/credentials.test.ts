import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { ConfigError, loadBaseConfig, loadConfig } from '../../src/config/index.js';

type Environment = Record<string, string>;

const folder = mkdtempSync(join(tmpdir(), 'credentials-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string) => {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
};

const ENDPOINT = { CFW_ENDPOINT: 'https://cfw.example.com' };
const load = (env: Environment) => loadConfig({ ...ENDPOINT, ...env });
const problemsOf = (env: Environment, loaded: (env: Environment) => unknown = load): readonly string[] => {
  try {
    loaded(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

const tokenFile = file('token', 'a-token\n');
const AKSK = { HUAWEICLOUD_SDK_AK: 'ak', HUAWEICLOUD_SDK_SK: 'sk' };
const IAM = { OS_AUTH_URL: 'https://iam.example.com', OS_USERNAME: 'u', OS_PASSWORD: 'p', OS_USER_DOMAIN_NAME: 'd' };
const OIDC = { HUAWEICLOUD_SDK_IDP_ID: 'idp', HUAWEICLOUD_SDK_ID_TOKEN_FILE: tokenFile, CFW_REGION: 'eu-west-101' };
const POD = {
  HC_CONTAINER_CREDENTIALS_FULL_URI: 'http://169.254.1.1/v1',
  HC_CONTAINER_AUTHORIZATION_TOKEN_FILE: tokenFile,
};

describe('the kind of credentials', () => {
  it.each<[string, Environment, string[]]>([
    ['aksk', AKSK, ['HUAWEICLOUD_SDK_AK', 'HUAWEICLOUD_SDK_SK']],
    ['aksk', { HW_ACCESS_KEY: 'a', OS_SECRET_KEY: 's' }, ['HW_ACCESS_KEY', 'OS_SECRET_KEY']],
    ['token', { OS_TOKEN: 't', OS_AUTH_URL: 'https://iam.example.com/v3' }, ['OS_TOKEN']],
    ['token', { HW_AUTH_TOKEN_FILE: tokenFile }, ['HW_AUTH_TOKEN_FILE']],
    ['iam', IAM, ['OS_PASSWORD', 'OS_AUTH_URL', 'OS_USERNAME', 'OS_USER_DOMAIN_NAME']],
    ['pod-identity', POD, Object.keys(POD)],
    ['oidc', OIDC, ['HUAWEICLOUD_SDK_IDP_ID', 'HUAWEICLOUD_SDK_ID_TOKEN_FILE']],
    ['ecs-agency', { CFW_CREDENTIALS: 'ecs-agency' }, ['CFW_CREDENTIALS']],
    ['aksk', { ...AKSK, ...IAM, CFW_CREDENTIALS: 'aksk' }, ['HUAWEICLOUD_SDK_AK', 'HUAWEICLOUD_SDK_SK']],
  ])('is %s by %j', (kind, env, variables) => {
    expect(load(env).credentials).toMatchObject({ kind, variables });
  });

  it.each<[Environment, RegExp]>([
    [{ ...POD, ...AKSK }, /aksk \(HUAWEICLOUD_SDK_AK, .*\) and pod-identity \(HC_CONTAINER.*pick one/],
    [
      { HW_ACCESS_KEY: 'a', HUAWEICLOUD_SDK_AK: 'b', HUAWEICLOUD_SDK_SK: 's' },
      /HUAWEICLOUD_SDK_AK and HW_ACCESS_KEY are set to different/,
    ],
    [{ OS_TOKEN: 'a', HW_AUTH_TOKEN: 'b' }, /OS_TOKEN and HW_AUTH_TOKEN are set to different/],
    [{ OS_SECRET_KEY: 's' }, /^HUAWEICLOUD_SDK_AK is needed .* kind aksk: .*HW_ACCESS_KEY or OS_ACCESS_KEY/],
    [
      { CFW_CREDENTIALS: 'pod-identity', HC_CONTAINER_CREDENTIALS_FULL_URI: 'http://a' },
      /^HC_CONTAINER_AUTHORIZATION_TOKEN_FILE is needed .* pod-identity/,
    ],
    [
      { ...POD, HC_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/none' },
      /^HC_CONTAINER_AUTHORIZATION_TOKEN_FILE: "\/none" .*ENOENT.* pod-identity/,
    ],
    [{ ...OIDC, CFW_REGION: '' }, /^HUAWEICLOUD_SDK_IAM_ENDPOINT or CFW_REGION is needed .* oidc/],
    [{ HUAWEICLOUD_SDK_IDP_ID: 'idp' }, /^HUAWEICLOUD_SDK_ID_TOKEN_FILE is needed .* oidc/],
    [
      { ...OIDC, HUAWEICLOUD_SDK_IAM_ENDPOINT: 'http://iam.example.com' },
      /^HUAWEICLOUD_SDK_IAM_ENDPOINT: .*CFW_ALLOW_HTTP=true/,
    ],
    [
      { OS_AUTH_URL: 'https://iam.example.com', OS_APPLICATION_CREDENTIAL_ID: 'a' },
      /^OS_APPLICATION_CREDENTIAL_SECRET is needed/,
    ],
    [
      { ...IAM, HW_ASSUME_ROLE_AGENCY_NAME: 'a' },
      /^HW_ASSUME_ROLE_AGENCY_NAME is set; a role needs a kind that gives keys, .* iam/,
    ],
    [{ ...AKSK, HW_ASSUME_ROLE_AGENCY_NAME: 'a' }, /^HW_ASSUME_ROLE_DOMAIN_NAME or HW_ASSUME_ROLE_DOMAIN_ID is needed/],
    [
      { ...AKSK, HW_ASSUME_ROLE_DOMAIN_ID: 'a' },
      /^HW_ASSUME_ROLE_DOMAIN_ID is set; a role needs HW_ASSUME_ROLE_AGENCY_NAME/,
    ],
    [{ CFW_CREDENTIALS: 'cloud' }, /^OS_CLOUD is needed .* cloud/],
    [{ ...IAM, OS_CACERT: '/none' }, /^OS_CACERT: "\/none" cannot be read/],
  ])('is refused in one sentence that names variable and kind: %j', (env, problem) => {
    expect(problemsOf(env)).toEqual([expect.stringMatching(problem)]);
  });
});

describe("OpenStack's environment", () => {
  const { OS_USER_DOMAIN_NAME: _, ...noDomain } = IAM;
  it.each<[Environment, unknown]>([
    [
      { ...noDomain, OS_USER_DOMAIN_ID: 'i', OS_DOMAIN_NAME: 'n' },
      { name: 'u', domain: { id: 'i' } },
    ],
    [
      { ...noDomain, OS_DOMAIN_NAME: 'n', OS_DEFAULT_DOMAIN: 'default' },
      { name: 'u', domain: { name: 'n' } },
    ],
    [
      { ...noDomain, OS_DEFAULT_DOMAIN: 'default' },
      { name: 'u', domain: { id: 'default' } },
    ],
    [{ ...noDomain, OS_USER_ID: 'id' }, { id: 'id' }],
  ])('names the user: %j', (env, user) => {
    expect(load(env).credentials.source).toMatchObject({ authUrl: 'https://iam.example.com/v3', identity: { user } });
  });

  it('gives project and region by the first name that is set', () => {
    expect(loadBaseConfig({ OS_PROJECT_ID: 'o', HUAWEICLOUD_SDK_PROJECT_ID: 'h', HW_PROJECT_ID: 'w' }).projectId).toBe(
      'o',
    );
    expect(loadBaseConfig({ HW_PROJECT_ID: 'w', CFW_PROJECT_ID: 'c' }).projectId).toBe('c');
    expect(loadConfig({ ...AKSK, HW_REGION_NAME: 'cn-north-4' }).cfw.endpoint).toBe(
      'https://cfw.cn-north-4.myhuaweicloud.com',
    );
  });

  it('leaves the endpoint to the catalogue of an IAM that is not Huawei Cloud', () => {
    const env = { ...IAM, OS_REGION_NAME: 'eu-de', OS_PROJECT_NAME: 'eu-de_one' };
    expect(loadConfig(env)).toMatchObject({
      cfw: { endpoint: '' },
      discovery: { region: 'eu-de', project: { name: 'eu-de_one', domain: { name: 'd' } } },
    });
    const huawei = {
      ...env,
      OS_AUTH_URL: 'https://iam.cn-north-4.myhuaweicloud.com/v3',
      OS_REGION_NAME: 'cn-north-4',
      OS_PROJECT_ID: 'p',
    };
    expect(loadConfig(huawei)).toMatchObject({
      cfw: { endpoint: 'https://cfw.cn-north-4.myhuaweicloud.com' },
      discovery: undefined,
    });
    expect(problemsOf(IAM, loadConfig)).toEqual([
      expect.stringMatching(/^CFW_ENDPOINT or CFW_REGION is needed, or CFW_PROJECT_ID/),
    ]);
  });
});

describe('a profile of the SDKs', () => {
  const profile = (text: string, more: Environment = {}) => ({
    HUAWEICLOUD_SDK_CREDENTIALS_FILE: file('profile', text),
    ...more,
  });

  it('gives keys, and follows its file', () => {
    const config = load(
      profile('[basic]\nak = A\nsk = S\nproject_id = p1\n[other]\nak = B\nsk = T\nsecurity_token = U\n'),
    );
    expect([config.credentials.kind, config.projectId]).toEqual(['profile', 'p1']);
    const { source } = config.credentials;
    if (source.kind !== 'aksk') throw new Error(source.kind);
    expect([source.accessKey.reveal(), source.secretKey.reveal(), source.securityToken]).toEqual(['A', 'S', undefined]);
    const other = load({ HUAWEICLOUD_SDK_CREDENTIALS_FILE: join(folder, 'profile'), HUAWEICLOUD_SDK_PROFILE: 'other' });
    expect(other.credentials.source.kind === 'aksk' && other.credentials.source.securityToken?.reveal()).toBe('U');
    file('profile', '[basic]\nak = A\nsk = rotated\n');
    expect([source.secretKey.refresh(), source.secretKey.reveal()]).toEqual([true, 'rotated']);
    // A file that is being written changes nothing, and is told by its variable.
    const problems: (string | undefined)[] = [];
    config.secretFiles['HUAWEICLOUD_SDK_CREDENTIALS_FILE (sk)']?.onFileState((problem) => problems.push(problem));
    file('profile', '[basic]\n');
    expect([source.secretKey.refresh(), source.secretKey.reveal()]).toEqual([false, 'rotated']);
    expect(problems).toEqual(['is empty']);
    expect(Object.keys(other.secretFiles).map((name) => name.split(' ')[1])).toEqual([
      '(ak)',
      '(sk)',
      '(security_token)',
    ]);
  });

  it('gives a login by OpenID Connect', () => {
    const { credentials } = load(
      profile(`[basic]\nidp_id = i\nid_token_file = ${tokenFile}\niam_endpoint = https://iam.example.com\n`),
    );
    expect(credentials.source).toMatchObject({
      kind: 'oidc',
      idpId: 'i',
      tokenFile,
      iamEndpoint: 'https://iam.example.com',
    });
  });

  it.each<[string, Environment, RegExp]>([
    ['[basic]\nak = A\n', {}, /^sk .*missing in section \[basic\] .* kind profile/],
    [
      '[basic]\nak = A\nsk = S\n',
      { HUAWEICLOUD_SDK_PROFILE: 'none' },
      /^section \[none\] .* missing, which the kind profile/,
    ],
  ])('is refused in one sentence: %j %j', (text, more, problem) => {
    expect(problemsOf(profile(text, more))).toEqual([expect.stringMatching(problem)]);
  });
});

describe('a cloud of clouds.yaml', () => {
  const cloud = (name: string, clouds: string, secure = '') => {
    const path = file(`cloud-${name}/clouds.yaml`, clouds);
    if (secure !== '') file(`cloud-${name}/secure.yaml`, secure);
    return { OS_CLOUD: 'otc', OS_CLIENT_CONFIG_FILE: path };
  };
  const BASE =
    'clouds:\n  otc:\n    region_name: eu-de\n    auth:\n      auth_url: https://iam.eu-de.otc.example.com/v3\n      project_name: eu-de_one\n';

  it('gives a login, with secrets from secure.yaml', () => {
    const env = cloud(
      'login',
      `${BASE}      username: u\n      user_domain_name: d\n`,
      'clouds:\n  otc:\n    auth: {password: 12345}\n',
    );
    const config = loadConfig(env);
    expect(config).toMatchObject({
      credentials: { kind: 'cloud', source: { authUrl: 'https://iam.eu-de.otc.example.com/v3' } },
      cfw: { endpoint: '' },
      discovery: { region: 'eu-de', project: { name: 'eu-de_one' } },
    });
    const { source } = config.credentials;
    if (source.kind !== 'iam' || source.identity.method !== 'password') throw new Error('no password');
    // YAML takes it for a number.
    expect(source.identity.password.reveal()).toBe('12345');
    expect(source.identity.user).toEqual({ name: 'u', domain: { name: 'd' } });
    expect(config.secretFiles['OS_CLOUD (auth.password)']).toBe(source.identity.password);
  });

  it.each<[string, string, string]>([
    [
      'application',
      '      application_credential_id: i\n      application_credential_secret: s\n',
      'application_credential',
    ],
    ['token', '      token: t\n    auth_type: token\n', 'token'],
    ['id', '      user_id: i\n      password: p\n    auth_type: v3password\n', 'password'],
  ])('gives a login by %s', (name, auth, method) => {
    const { source } = load(cloud(name, BASE + auth)).credentials;
    expect(source).toMatchObject({ kind: 'iam', identity: { method } });
  });

  it('gives keys', () => {
    const { source } = load(cloud('keys', 'clouds:\n  otc:\n    auth: {ak: A, sk: S}\n')).credentials;
    expect(source.kind === 'aksk' && source.secretKey.reveal()).toBe('S');
  });

  it.each<[string, string, RegExp]>([
    ['none', 'clouds: {other: {auth: {}}}\n', /^OS_CLOUD: "otc" is no cloud of .* kind cloud/],
    ['broken', 'clouds: {otc: {auth: {password: hunter2\n', /^OS_CLOUD: .* cannot be parsed/],
    ['lacking', `${BASE}      username: u\n`, /^auth.password missing in cloud "otc" .* kind cloud/],
    ['domainless', `${BASE}      username: u\n      password: p\n`, /^auth.user_domain_name missing/],
    ['type', `${BASE}    auth_type: v3oidcpassword\n`, /^auth_type in cloud "otc" .*"v3oidcpassword"/],
    ['verify', `${BASE}    verify: false\n`, /^verify in cloud "otc" .*cacert/],
    [
      'plain',
      `${BASE.replace('https', 'http')}      user_id: u\n      password: p\n`,
      /^auth.auth_url .*CFW_ALLOW_HTTP=true/,
    ],
  ])('is refused in one sentence, without its secrets: %s', (name, text, problem) => {
    const problems = problemsOf(cloud(name, text));
    expect(problems).toEqual([expect.stringMatching(problem)]);
    expect(problems.join()).not.toContain('hunter2');
  });
});
