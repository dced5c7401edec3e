import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import {
  type BaseConfig,
  ConfigError,
  environmentSchema,
  loadBaseConfig,
  loadConfig,
  SECRET_VARIABLES,
} from '../../src/config/index.js';
import { Secret } from '../../src/lib/secret.js';

type Environment = Record<string, string>;

const redisUrl = ({ redis }: BaseConfig) => (redis.kind === 'server' ? redis.url.reveal() : redis.kind);

const SOUND: Environment = { CFW_ENDPOINT: 'https://cfw.example.com', CFW_AUTH_TOKEN: 'the-token' };
const HTTP_TOKEN = 'sixteen-letters-';

const folder = mkdtempSync(join(tmpdir(), 'config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function fileWith(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

function problemsOf(env: Environment, load: (env: Environment) => unknown = loadConfig): readonly string[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('the configuration', () => {
  it('has the documented defaults', () => {
    const config = loadConfig(SOUND);
    expect(config).toMatchObject({
      projectId: undefined,
      queue: { name: 'cfw-jobs', prefix: '{cfw}' },
      events: { stream: '{cfw}:events', maxLength: 100_000, dedupTtlMs: 7 * 86_400_000 },
      logLevel: 'info',
      cfw: { endpoint: 'https://cfw.example.com', requestTimeoutMs: 10_000 },
      polling: {
        initialDelayMs: 1_000,
        factor: 1.5,
        maxDelayMs: 10_000,
        schedule: 'learned',
        priceMs: 500,
        timeoutMs: 1_800_000,
        ratePerSecond: 100,
      },
      worker: { concurrency: 500 },
      metrics: { projectLabel: false },
      http: { host: '127.0.0.1', port: 8_080, token: undefined },
    });
    expect(redisUrl(config)).toBe('redis://127.0.0.1:6379');
    expect(config.credentials.source.kind === 'token' && config.credentials.source.token.reveal()).toBe('the-token');
  });

  it('takes what is set', () => {
    const config = loadConfig({
      ...SOUND,
      CFW_PROJECT_ID: '09bb24e6f280d21f0f9bc0104d901384',
      CFW_REQUEST_TIMEOUT: '2500',
      REDIS_URL: 'rediss://user:password@redis.example.com:6380/3',
      QUEUE_NAME: 'other-jobs',
      QUEUE_PREFIX: '{other}',
      EVENT_STREAM: '{other}:stream',
      EVENT_STREAM_MAXLEN: '0',
      EVENT_DEDUP_TTL: '24d',
      POLL_INITIAL_DELAY: '250ms',
      POLL_BACKOFF_FACTOR: '2',
      POLL_MAX_DELAY: '250ms',
      POLL_SCHEDULE: 'exponential',
      POLL_PRICE: '2s',
      POLL_TIMEOUT: '24h',
      WORKER_CONCURRENCY: '1',
      HTTP_HOST: '::',
      HTTP_PORT: '0',
      HTTP_TOKEN,
      METRICS_PROJECT_LABEL: 'true',
      LOG_LEVEL: 'silent',
    });
    expect(config).toMatchObject({
      projectId: '09bb24e6f280d21f0f9bc0104d901384',
      queue: { name: 'other-jobs', prefix: '{other}' },
      events: { stream: '{other}:stream', maxLength: 0, dedupTtlMs: 24 * 86_400_000 },
      logLevel: 'silent',
      cfw: { requestTimeoutMs: 2_500 },
      polling: {
        initialDelayMs: 250,
        factor: 2,
        maxDelayMs: 250,
        schedule: 'exponential',
        priceMs: 2_000,
        timeoutMs: 86_400_000,
      },
      worker: { concurrency: 1 },
      http: { host: '::', port: 0 },
      metrics: { projectLabel: true },
    });
    expect(redisUrl(config)).toBe('rediss://user:password@redis.example.com:6380/3');
    expect(config.http.token?.reveal()).toBe(HTTP_TOKEN);
  });

  it('takes an empty variable as not set', () => {
    const empty = Object.fromEntries(
      Object.keys(environmentSchema.shape).flatMap((name) => [
        [name, ''],
        [`${name}_FILE`, ''],
      ]),
    );
    expect(loadConfig({ ...empty, ...SOUND })).toEqual(loadConfig(SOUND));
    expect(problemsOf(empty)).toEqual(problemsOf({}));
  });

  it('cannot be changed, at any depth', () => {
    const assertFrozen = (value: unknown) => {
      // A secret can be read again from its file, and shows no property that could be changed.
      if (typeof value !== 'object' || value === null || value instanceof Secret) return;
      expect(Object.isFrozen(value)).toBe(true);
      Object.values(value).forEach(assertFrozen);
    };
    assertFrozen(loadConfig(SOUND));
    assertFrozen(loadBaseConfig({}));
  });

  it('shows no secret when it is printed', () => {
    const config = loadConfig({ ...SOUND, HTTP_TOKEN, REDIS_URL: 'redis://:the-password@127.0.0.1' });
    const shown = JSON.stringify(config) + inspect(config, { depth: null, showHidden: true });
    for (const secret of ['the-token', HTTP_TOKEN, 'the-password']) expect(shown).not.toContain(secret);
  });
});

describe('problems', () => {
  const BAD: readonly (readonly [name: string, given: string, allowed: string])[] = [
    ['CFW_ENDPOINT', 'cfw.example.com', 'https://'],
    ['CFW_REGION', 'somewhere', 'a region such as eu-west-101'],
    ['CFW_PROJECT_ID', '../other', '1 to 64 of A-Z a-z 0-9 _ -'],
    ['CFW_REQUEST_TIMEOUT', '99ms', '100ms to 5m'],
    ['CFW_ALLOW_HTTP', 'yes', 'true or false'],
    ['QUEUE_NAME', 'a:b', 'without spaces and colons'],
    ['QUEUE_PREFIX', 'a b', 'printable ASCII characters without spaces'],
    ['EVENT_STREAM', 'ereignisstrÖm', 'printable ASCII characters without spaces'],
    ['EVENT_STREAM_MAXLEN', '-1', 'a whole number from 0 to 1000000000'],
    ['EVENT_DEDUP_TTL', '25d', 'at most 24d'],
    ['POLL_INITIAL_DELAY', '10ms', '50ms to 24h'],
    ['POLL_BACKOFF_FACTOR', '0.9', 'a number from 1 to 10'],
    ['POLL_MAX_DELAY', '25h', '50ms to 24h'],
    ['POLL_SCHEDULE', 'clever', 'learned or exponential'],
    ['POLL_PRICE', '0', '1ms to 10m'],
    ['POLL_TIMEOUT', 'soon', '1s to 24h'],
    ['WORKER_CONCURRENCY', '1.5', 'a whole number from 1 to 100000'],
    ['HTTP_HOST', 'http://0.0.0.0', 'a host name or an IP address'],
    ['HTTP_PORT', '65536', 'a whole number from 0 to 65535'],
    ['METRICS_PROJECT_LABEL', 'yes', 'true or false'],
    ['LOG_LEVEL', 'loud', 'silent, fatal, error, warn, info, debug, trace'],
  ];

  it.each(BAD)('tell of %s="%s" what was given and what is allowed', (name, given, allowed) => {
    const problems = problemsOf({ ...SOUND, [name]: given });
    expect(problems).toEqual([expect.stringMatching(new RegExp(`^${name}\\b`))]);
    expect(problems[0]).toContain(`"${given}"`);
    expect(problems[0]).toContain(allowed);
  });

  it.each([
    ['CFW_REQUEST_TIMEOUT', '301s'],
    ['EVENT_DEDUP_TTL', '999ms'],
    ['POLL_BACKOFF_FACTOR', '10.1'],
    ['POLL_BACKOFF_FACTOR', '1e0'],
    ['POLL_TIMEOUT', '0'],
    ['POLL_TIMEOUT', '86400001'],
    ['WORKER_CONCURRENCY', '0'],
    ['WORKER_CONCURRENCY', ' 5'],
    ['HTTP_PORT', '-1'],
    ['QUEUE_NAME', 'q'.repeat(129)],
    ['CFW_PROJECT_ID', 'p'.repeat(65)],
    ['CFW_PROJECT_ID', 'p\n'],
    ['LOG_LEVEL', 'INFO'],
    ['CFW_ALLOW_HTTP', 'TRUE'],
  ])('are told of %s="%s"', (name, given) => {
    expect(problemsOf({ ...SOUND, [name]: given })).toEqual([expect.stringContaining(name)]);
  });

  it.each([
    ['CFW_AUTH_TOKEN', 'a very secret value'],
    ['REDIS_URL', 'http://:very-secret@127.0.0.1'],
    ['REDIS_URL', 'very-secret'],
    ['REDIS_URL', 'redis://very-secret/first'],
    ['HTTP_TOKEN', 'very-secret'],
    ['HTTP_TOKEN', 'very-secret but with spaces'],
  ])('name %s and what is expected, never its value', (name, given) => {
    const problems = problemsOf({ ...SOUND, [name]: given });
    expect(problems).toEqual([expect.stringContaining(`${name}: the value (not shown)`)]);
    expect(problems[0]).toContain('expected');
    expect(problems.join()).not.toContain('secret');
  });

  it('never show the password that an endpoint must not hold', () => {
    const problems = problemsOf({ ...SOUND, CFW_ENDPOINT: 'https://me:hunter2@cfw.example.com' });
    expect(problems).toEqual([expect.stringContaining('CFW_ENDPOINT')]);
    expect(problems.join()).not.toContain('hunter2');
  });

  it('are told all at once, also in the message', () => {
    const bad = { ...Object.fromEntries(BAD), CFW_AUTH_TOKEN: 'not this', REDIS_URL: 'nor this', HTTP_TOKEN: 'nor' };
    const problems = problemsOf(bad);
    for (const name of Object.keys(bad))
      expect(problems).toContainEqual(expect.stringMatching(new RegExp(`^${name}:`)));
    expect(problems).toHaveLength(Object.keys(bad).length);
    const { message } = new ConfigError(problems);
    for (const problem of problems) expect(message).toContain(problem);
  });

  it('of what is missing are told together with those of what is wrong', () => {
    const problems = problemsOf({ LOG_LEVEL: 'loud' });
    expect(problems).toHaveLength(3);
    expect(problems.join('\n')).toMatch(/CFW_ENDPOINT or CFW_REGION/);
    expect(problems.join('\n')).toMatch(/CFW_AUTH_TOKEN/);
    expect(problems.join('\n')).toMatch(/LOG_LEVEL/);
  });

  it('of variables that do not go together are told together with those of single ones', () => {
    const problems = problemsOf({
      ...SOUND,
      CFW_ENDPOINT: 'http://cfw.example.com',
      POLL_INITIAL_DELAY: '10s',
      POLL_MAX_DELAY: '1s',
      HTTP_HOST: '0.0.0.0',
      LOG_LEVEL: 'loud',
    });
    for (const name of ['CFW_ENDPOINT', 'POLL_MAX_DELAY', 'HTTP_TOKEN', 'LOG_LEVEL']) {
      expect(problems).toContainEqual(expect.stringMatching(new RegExp(`^${name}\\b`)));
    }
  });

  it('are told where the longest delay is shorter than the first one', () => {
    const problems = problemsOf({ ...SOUND, POLL_INITIAL_DELAY: '5s', POLL_MAX_DELAY: '4s' });
    expect(problems).toEqual([expect.stringMatching(/^POLL_MAX_DELAY: .*POLL_INITIAL_DELAY/)]);
  });
});

describe('the endpoint', () => {
  it.each([
    ['cn-north-4', 'https://cfw.cn-north-4.myhuaweicloud.com'],
    ['ap-southeast-3', 'https://cfw.ap-southeast-3.myhuaweicloud.com'],
    ['eu-west-0', 'https://cfw.eu-west-0.myhuaweicloud.com'],
    ['eu-west-101', 'https://cfw.eu-west-101.myhuaweicloud.eu'],
  ])('of the region %s is %s', (region, endpoint) => {
    expect(loadConfig({ CFW_REGION: region, CFW_AUTH_TOKEN: 't' }).cfw.endpoint).toBe(endpoint);
  });

  it('counts before the region, and loses its trailing slashes', () => {
    const { cfw } = loadConfig({ ...SOUND, CFW_ENDPOINT: 'https://cfw.example.com/base//', CFW_REGION: 'cn-north-4' });
    expect(cfw.endpoint).toBe('https://cfw.example.com/base');
  });

  it.each(['http://localhost:8081', 'http://127.0.0.1:8081', 'http://127.8.9.10', 'http://[::1]:8081'])(
    'may be plain %s, which stays on this machine',
    (endpoint) => {
      expect(loadConfig({ ...SOUND, CFW_ENDPOINT: endpoint }).cfw.endpoint).toBe(endpoint);
    },
  );

  it.each([
    'http://cfw.example.com',
    'http://10.0.0.1',
    'http://0.0.0.0',
    'http://127.0.0.1.example.com',
    'http://localhost.example.com',
  ])('may be %s with CFW_ALLOW_HTTP only', (endpoint) => {
    const problems = problemsOf({ ...SOUND, CFW_ENDPOINT: endpoint });
    expect(problems).toEqual([expect.stringMatching(/^CFW_ENDPOINT: .*CFW_ALLOW_HTTP=true/)]);
    const { cfw } = loadConfig({ ...SOUND, CFW_ENDPOINT: endpoint, CFW_ALLOW_HTTP: 'true' });
    expect(cfw.endpoint).toBe(endpoint);
  });

  it.each([
    'ftp://cfw.example.com',
    'https://',
    '//cfw.example.com',
    'https://me@cfw.example.com',
    'https://cfw.example.com?a=b',
    'https://cfw.example.com#a',
  ])('is refused as %s', (endpoint) => {
    expect(problemsOf({ ...SOUND, CFW_ENDPOINT: endpoint })).toEqual([expect.stringContaining('CFW_ENDPOINT')]);
  });

  it.each([
    'https://cfw.example.com?',
    'https://cfw.example.com#',
    'https://cfw.example.com ',
    ' https://cfw.example.com',
  ])('can have a path put after it, or is refused: "%s"', (endpoint) => {
    const env = { ...SOUND, CFW_ENDPOINT: endpoint };
    const refused = problemsOf(env).length > 0;
    expect(refused || new URL(`${loadConfig(env).cfw.endpoint}/v3`).href === 'https://cfw.example.com/v3').toBe(true);
  });

  it.each(['CFW_ENDPOINT_FILE', 'CFW_REGION_FILE'])('does not come from %s, since it is no secret', (name) => {
    const file = fileWith(name, 'https://cfw.example.com');
    expect(problemsOf({ CFW_AUTH_TOKEN: 't', [name]: file })).toEqual([
      expect.stringContaining('CFW_ENDPOINT or CFW_REGION is needed'),
    ]);
  });
});

describe('a secret of the configuration', () => {
  it('can be in a file', () => {
    const config = loadConfig({
      CFW_REGION: 'cn-north-4',
      CFW_AUTH_TOKEN_FILE: fileWith('token', 'from-a-file\n'),
      REDIS_URL_FILE: fileWith('redis', 'redis://redis.example.com\n'),
      HTTP_HOST: '0.0.0.0',
      HTTP_TOKEN_FILE: fileWith('http', `${HTTP_TOKEN}\n`),
    });
    expect(config.credentials.source.kind === 'token' && config.credentials.source.token.reveal()).toBe('from-a-file');
    expect(redisUrl(config)).toBe('redis://redis.example.com');
    expect(config.http.token?.reveal()).toBe(HTTP_TOKEN);
  });

  it('follows its file', () => {
    const file = fileWith('rotated', 'first');
    const credentials = loadConfig({ CFW_REGION: 'cn-north-4', CFW_AUTH_TOKEN_FILE: file }).credentials.source;
    if (credentials.kind !== 'token') throw new Error('a token was given');
    writeFileSync(file, 'second');
    credentials.token.refresh();
    expect(credentials.token.reveal()).toBe('second');
  });

  it.each([...SECRET_VARIABLES])('%s is refused where it is given both as a value and as a file', (name) => {
    const problems = problemsOf({ [name]: 'redis://one', [`${name}_FILE`]: fileWith('both', 'redis://two') });
    expect(problems).toContainEqual(expect.stringContaining(`${name} and ${name}_FILE are both set`));
  });

  it('is refused where its file is away or empty, naming the file', () => {
    const absent = join(folder, 'absent');
    const empty = fileWith('empty', '\n');
    const problems = problemsOf({ CFW_REGION: 'cn-north-4', CFW_AUTH_TOKEN_FILE: absent, HTTP_TOKEN_FILE: empty });
    expect(problems).toEqual([
      expect.stringMatching(/^CFW_AUTH_TOKEN_FILE: .*ENOENT/),
      expect.stringMatching(/^HTTP_TOKEN_FILE: .*empty/),
    ]);
    expect(problems[0]).toContain(absent);
    expect(problems[1]).toContain(empty);
  });

  it('keeps the last good value when its file turns to one that the variable does not allow', () => {
    const url = fileWith('rotated-url', 'redis://me:first@redis.example.com');
    const token = fileWith('rotated-token', HTTP_TOKEN);
    const config = loadConfig({ ...SOUND, REDIS_URL_FILE: url, HTTP_TOKEN_FILE: token });
    expect(Object.keys(config.secretFiles).sort()).toEqual(['HTTP_TOKEN_FILE', 'REDIS_URL_FILE']);
    const problems: (string | undefined)[] = [];
    for (const secret of Object.values(config.secretFiles)) secret.onFileState((problem) => problems.push(problem));
    for (const bad of ['redis://me:hunter/2#@host', 'redis:', 'redis://', 'http://me:hunter2@host', 'hunter2']) {
      writeFileSync(url, bad);
      config.secretFiles.REDIS_URL_FILE?.refresh();
      expect(redisUrl(config)).toBe('redis://me:first@redis.example.com');
    }
    writeFileSync(token, 'too-short');
    expect(config.http.token?.refresh()).toBe(false);
    expect(config.http.token?.reveal()).toBe(HTTP_TOKEN);
    expect(problems).toHaveLength(2);
    expect(problems.join()).toMatch(/is not valid; expected redis:.*is not valid; expected 16 or more/);
    expect(problems.join()).not.toMatch(/hunter|short/);
  });

  it('is not shown if what its file holds is invalid', () => {
    const problems = problemsOf({ ...SOUND, HTTP_TOKEN_FILE: fileWith('short', 'hunter2') });
    expect(problems).toEqual([expect.stringContaining('HTTP_TOKEN: ')]);
    expect(problems.join()).not.toContain('hunter2');
  });
});

describe('credentials', () => {
  const AKSK = { HUAWEICLOUD_SDK_AK: 'the-access-key', HUAWEICLOUD_SDK_SK: 'the-secret-key' };
  const IAM = {
    OS_AUTH_URL: 'https://iam.example.com/v3/',
    OS_USERNAME: 'the user',
    OS_PASSWORD: 'the password',
    OS_USER_DOMAIN_NAME: 'the domain',
  };
  const TOKEN = { CFW_AUTH_TOKEN: 'the-token' };
  const withEndpoint = (env: Environment): Environment => ({ CFW_ENDPOINT: 'https://cfw.example.com', ...env });

  it('may be an access key and a secret key', () => {
    const credentials = loadConfig(withEndpoint(AKSK)).credentials.source;
    if (credentials.kind !== 'aksk') throw new Error(`not ${credentials.kind}`);
    expect(credentials.accessKey.reveal()).toBe('the-access-key');
    expect(credentials.secretKey.reveal()).toBe('the-secret-key');
    expect(credentials.securityToken).toBeUndefined();
  });

  it('may be a temporary access key with its security token', () => {
    const credentials = loadConfig(withEndpoint({ ...AKSK, HUAWEICLOUD_SDK_SECURITY_TOKEN: 'the-security-token' }))
      .credentials.source;
    expect(credentials.kind === 'aksk' && credentials.securityToken?.reveal()).toBe('the-security-token');
  });

  it('may be the name and password of an IAM user', () => {
    const { source } = loadConfig(withEndpoint(IAM)).credentials;
    const user = { name: 'the user', domain: { name: 'the domain' } };
    expect(source).toMatchObject({ kind: 'iam', authUrl: 'https://iam.example.com/v3', identity: { user } });
    if (source.kind !== 'iam' || source.identity.method !== 'password') throw new Error('not a password');
    expect(source.identity.password.reveal()).toBe('the password');
  });

  it.each<[string, Environment]>([
    ['none', {}],
    ['a token and an access key', { ...TOKEN, ...AKSK }],
    ['a token and an IAM user', { ...TOKEN, ...IAM }],
    ['an IAM user and a part of an access key', { ...IAM, HUAWEICLOUD_SDK_AK: 'the-access-key' }],
    ['all', { ...TOKEN, ...AKSK, ...IAM }],
  ])('must be of exactly one kind, not %s', (_which, env) => {
    const problems = problemsOf(withEndpoint(env));
    expect(problems).toEqual([expect.stringContaining('exactly one')]);
    const asked = Object.keys(env).length === 0 ? { ...TOKEN, ...AKSK, ...IAM } : env;
    for (const name of Object.keys(asked)) expect(problems[0]).toContain(name);
    expect(problems[0]).not.toContain('the-');
  });

  it.each<[string, Environment]>([
    ...Object.keys(AKSK).map((name): [string, Environment] => [name, { ...AKSK, [name]: '' }]),
    ...Object.keys(IAM).map((name): [string, Environment] => [name, { ...IAM, [name]: '' }]),
  ])('are not whole without %s', (name, env) => {
    expect(problemsOf(withEndpoint(env))).toEqual([expect.stringMatching(new RegExp(`^${name} is needed`))]);
  });

  it.each([
    'https://iam.example.com/v2.0',
    'https://iam.example.com/v3/auth',
    'https://me@iam.example.com/v3',
    'iam/v3',
  ])('have no OS_AUTH_URL such as %s', (url) => {
    const problems = problemsOf(withEndpoint({ ...IAM, OS_AUTH_URL: url }));
    expect(problems).toEqual([expect.stringMatching(/^OS_AUTH_URL: .*with or without \/v3/)]);
  });

  it('go over plain http with CFW_ALLOW_HTTP only', () => {
    const env = withEndpoint({ ...IAM, OS_AUTH_URL: 'http://iam.example.com/v3' });
    expect(problemsOf(env)).toEqual([expect.stringMatching(/^OS_AUTH_URL: .*CFW_ALLOW_HTTP=true/)]);
    expect(problemsOf({ ...env, CFW_ALLOW_HTTP: 'true' })).toEqual([]);
    expect(problemsOf({ ...env, OS_AUTH_URL: 'http://127.0.0.1:5000/v3' })).toEqual([]);
  });
});

describe('HTTP_TOKEN', () => {
  it.each(['0.0.0.0', '::', '192.168.1.2', 'sidecar.example.com', '127.0.0.1.example.com'])(
    'is needed on %s',
    (host) => {
      const problems = problemsOf({ ...SOUND, HTTP_HOST: host });
      expect(problems).toEqual([expect.stringMatching(/^HTTP_TOKEN is needed/)]);
      expect(problems[0]).toContain(host);
      expect(loadConfig({ ...SOUND, HTTP_HOST: host, HTTP_TOKEN }).http.host).toBe(host);
    },
  );

  it.each(['127.0.0.1', '127.0.0.2', 'localhost', 'LOCALHOST', '::1'])('is not needed on %s', (host) => {
    expect(loadConfig({ ...SOUND, HTTP_HOST: host }).http.token).toBeUndefined();
  });
});

describe('the part of the configuration that all commands need', () => {
  it('needs neither an endpoint nor credentials', () => {
    const config = loadBaseConfig({ QUEUE_NAME: 'other', CFW_PROJECT_ID: 'p1' });
    expect(config).toMatchObject({ projectId: 'p1', queue: { name: 'other' }, logLevel: 'info' });
    expect(redisUrl(config)).toBe('redis://127.0.0.1:6379');
  });

  it('is held to the same rules', () => {
    const problems = problemsOf({ QUEUE_NAME: 'a:b', REDIS_URL: 'localhost:6379' }, loadBaseConfig);
    expect(problems).toHaveLength(2);
    expect(problems.join()).toMatch(/REDIS_URL.*QUEUE_NAME/s);
  });
});

describe('.env.example', () => {
  interface Variable {
    readonly name: string;
    readonly text: string;
    /** The lines of explanation above it; variables one below the other share theirs. */
    readonly comment: string;
  }
  const variables: Variable[] = [];
  let comment: string[] = [];
  let inComment = false;
  for (const line of readFileSync(new URL('../../.env.example', import.meta.url), 'utf8').split('\n')) {
    const [, name, text = ''] = /^#?([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name !== undefined) {
      variables.push({ name, text, comment: comment.join('\n') });
      inComment = false;
    } else if (/^# (?!-)/.test(line)) {
      comment = inComment ? [...comment, line] : [line];
      inComment = true;
    } else {
      comment = [];
      inComment = false;
    }
  }

  const names = Object.keys(environmentSchema.shape) as (keyof typeof environmentSchema.shape)[];

  it('has each variable exactly once, and no other', () => {
    expect(variables.map(({ name }) => name).sort()).toEqual([...names].sort());
  });

  it.each(names)('gives the default of %s', (name) => {
    const text = variables.find((variable) => variable.name === name)?.text;
    const schema = environmentSchema.shape[name];
    const unset = schema.safeParse(undefined);
    const shown = schema.safeParse(text === '' ? undefined : text);
    expect(shown.data).toEqual(unset.data);
    expect(shown.success).toBe(unset.success);
    // A default that is left out would look like a variable without one.
    expect(text === '').toBe(unset.data === undefined);
  });

  it.each(names)('explains %s in a line above', (name) => {
    expect(variables.find((variable) => variable.name === name)?.comment).toMatch(/\w+ \w+/);
  });

  it.each([...SECRET_VARIABLES])('marks %s as a secret', (name) => {
    expect(variables.find((variable) => variable.name === name)?.comment).toContain('Secret');
  });

  it('has nothing but comments and lines that can be used when the # is taken away', () => {
    const env = Object.fromEntries(variables.map(({ name, text }) => [name, text]));
    expect(loadBaseConfig(env)).toEqual(loadBaseConfig({}));
  });
});

describe('the way to Redis', () => {
  const pem = fileWith('redis.pem', '-----BEGIN CERTIFICATE-----\n');
  const SENTINEL = { REDIS_SENTINELS: 'a:26379, [::1]:26380', REDIS_SENTINEL_NAME: 'cfw' };

  it('leads by Sentinels or to a Cluster, with a login and TLS of their own', () => {
    const login = { REDIS_USERNAME: 'me', REDIS_PASSWORD: 'hunter2', REDIS_TLS: 'true', REDIS_TLS_CA_FILE: pem };
    const sentinel = loadBaseConfig({ ...SENTINEL, ...login, REDIS_SENTINEL_PASSWORD: 'watch' }).redis;
    const tls = { ca: '-----BEGIN CERTIFICATE-----\n', cert: undefined, key: undefined };
    expect(sentinel).toEqual({
      kind: 'sentinel',
      sentinels: [
        { host: 'a', port: 26379 },
        { host: '::1', port: 26380 },
      ],
      name: 'cfw',
      sentinelPassword: new Secret('watch'),
      username: 'me',
      password: new Secret('hunter2'),
      tls,
    });
    expect(inspect(sentinel, { depth: 9 })).not.toMatch(/hunter2|watch/);
    const cluster = loadBaseConfig({ REDIS_CLUSTER: 'a:1,b:2', REDIS_PASSWORD_FILE: fileWith('pw', 'x\n') }).redis;
    expect(cluster).toMatchObject({ kind: 'cluster', nodes: [{ host: 'a' }, { port: 2 }], tls: undefined });
  });

  it.each([
    [{ REDIS_URL: 'redis://a', REDIS_CLUSTER: 'a:1' }, 'REDIS_URL and REDIS_CLUSTER are set; expected one of them'],
    [{ REDIS_SENTINELS: 'a:1' }, 'REDIS_SENTINELS and REDIS_SENTINEL_NAME are needed together'],
    [{ REDIS_CLUSTER: 'a:1,b' }, 'REDIS_CLUSTER: "a:1,b" is invalid; expected host:port,host:port …'],
    [{ REDIS_CLUSTER: 'a:70000' }, 'REDIS_CLUSTER: "a:70000" is invalid'],
    [{ REDIS_CLUSTER: 'a:1', QUEUE_PREFIX: 'cfw' }, 'must share one hash tag'],
    [{ REDIS_CLUSTER: 'a:1', EVENT_STREAM: '{other}:events' }, 'must share one hash tag'],
    [{ REDIS_PASSWORD: 'x' }, 'REDIS_PASSWORD is set; it goes with REDIS_SENTINELS or REDIS_CLUSTER'],
    [{ REDIS_TLS: 'true' }, 'REDIS_TLS is set; it goes with REDIS_SENTINELS or REDIS_CLUSTER'],
    [{ REDIS_SENTINEL_PASSWORD: 'x' }, 'REDIS_SENTINEL_PASSWORD is set; expected with REDIS_SENTINELS only'],
    [{ REDIS_URL: 'redis://a', REDIS_TLS_CA_FILE: pem }, 'REDIS_TLS_CA_FILE: set without TLS'],
    [
      { REDIS_URL: 'rediss://a', REDIS_TLS_CERT_FILE: pem },
      'REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE are needed together',
    ],
    [
      { REDIS_URL: 'rediss://a', REDIS_TLS_CA_FILE: '/no/such' },
      'REDIS_TLS_CA_FILE: "/no/such" cannot be read (ENOENT)',
    ],
    [{ REDIS_URL: 'rediss://a', REDIS_TLS_CA_FILE: fileWith('no.pem', 'x') }, 'holds nothing in PEM'],
    [{ REDIS_URL: 'redis://a/one' }, 'REDIS_URL: the value (not shown) is invalid'],
  ])('is refused where it makes no sense: %j', (env: Environment, problem) => {
    expect(problemsOf(env, loadBaseConfig)).toEqual([expect.stringContaining(problem)]);
  });
});
