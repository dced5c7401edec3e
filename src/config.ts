import { readFileSync } from 'node:fs';
import { getProxyForUrl } from 'proxy-from-env';
import { z } from 'zod';
import { DURATION_FORM, parseDuration } from './duration.js';
import { ID_PATTERN } from './id.js';
import { Secret } from './secret.js';

/** Something is wrong with the configuration; `problems` has a line for each, naming the variable and what is allowed. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration is not usable:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** Levels of pino, from silent to chatty. */
export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

const DAY_MS = 86_400_000;
const LOOPBACK_HOST = /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/;

/** Whether a host name or address never leaves this machine. */
export function isLoopback(host: string): boolean {
  return LOOPBACK_HOST.test(host.toLowerCase());
}

/** Variables whose value is never shown and that can be given as a file by `<NAME>_FILE`. */
export const SECRET_VARIABLES = [
  'HUAWEICLOUD_SDK_AK',
  'HUAWEICLOUD_SDK_SK',
  'HUAWEICLOUD_SDK_SECURITY_TOKEN',
  'OS_PASSWORD',
  'CFW_AUTH_TOKEN',
  'REDIS_URL',
  'REDIS_PASSWORD',
  'REDIS_SENTINEL_PASSWORD',
  'HTTP_TOKEN',
] as const;
type SecretVariable = (typeof SECRET_VARIABLES)[number];

// Each schema turns the text of one variable into its value; its message says what is allowed.
const duration = (fallback: string, { min = 0, max = Number.POSITIVE_INFINITY, allowed = DURATION_FORM } = {}) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const milliseconds = parseDuration(text);
      if (milliseconds === undefined || milliseconds < min || milliseconds > max) {
        context.addIssue({ code: 'custom', message: `a duration is allowed: ${allowed}` });
        return z.NEVER;
      }
      return milliseconds;
    });

const number = (fallback: string, allowed: string, accepts: (value: number) => boolean) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
      if (!accepts(value)) {
        context.addIssue({ code: 'custom', message: `allowed is ${allowed}` });
        return z.NEVER;
      }
      return value;
    });

const integer = (fallback: string, min: number, max: number) =>
  number(fallback, `a whole number from ${min} to ${max}`, (n) => Number.isInteger(n) && n >= min && n <= max);

const flag = z
  .enum(['true', 'false'], { error: 'allowed is true or false' })
  .default('false')
  .transform((text) => text === 'true');

const url = (allowed: string, accepts: (url: URL) => boolean) =>
  z.string().refine((text) => URL.canParse(text) && accepts(new URL(text)), { error: `allowed is ${allowed}` });

/** A URL that paths are put after. The text is looked at, since `new URL` forgives blanks and an empty query. */
const baseUrl = (allowed: string, accepts: (url: URL) => boolean = () => true) =>
  url(allowed, accepts).regex(/^https?:[^\s?#@]+$/i, { error: `allowed is ${allowed}` });

const headerText = z
  .string()
  .regex(/^[\x21-\x7e]+$/, { error: 'allowed are printable ASCII characters without spaces (it becomes a header)' });

const redisKey = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .refine((text) => /^[\x21-\x7e]{1,128}$/.test(text), {
      error: 'allowed are 1 to 128 printable ASCII characters without spaces',
    });

const addresses = z
  .string()
  .transform((text, context) => {
    const found = text
      .split(',')
      .map((address) => /^\s*(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})\s*$/.exec(address));
    const parsed = found.map((match) => ({ host: match?.[1]?.replace(/[[\]]/g, '') ?? '', port: Number(match?.[2]) }));
    if (parsed.some(({ port }) => !(port >= 1 && port <= 65_535))) {
      context.addIssue({ code: 'custom', message: 'allowed is host:port,host:port …' });
      return z.NEVER;
    }
    return parsed;
  })
  .optional();

/** Every variable, with the text that counts where it is not set; `.env.example` is held to this by a test. */
export const environmentSchema = z.object({
  CFW_ENDPOINT: baseUrl(
    'an https:// URL without user, query or fragment (http:// on loopback, or with CFW_ALLOW_HTTP=true)',
  ).optional(),
  CFW_REGION: z
    .string()
    .regex(/^[a-z]{2,}(-[a-z0-9]+)+$/, { error: 'allowed is a region such as eu-west-101 or cn-north-4' })
    .optional(),
  CFW_PROJECT_ID: z.string().regex(ID_PATTERN, { error: 'allowed are 1 to 64 of A-Z a-z 0-9 _ -' }).optional(),
  CFW_REQUEST_TIMEOUT: duration('10s', { min: 100, max: 300_000, allowed: 'from 100ms to 5m' }),
  CFW_RATE_LIMIT: integer('100', 0, 100_000),
  CFW_ALLOW_HTTP: flag,
  HUAWEICLOUD_SDK_AK: headerText.optional(),
  HUAWEICLOUD_SDK_SK: headerText.optional(),
  HUAWEICLOUD_SDK_SECURITY_TOKEN: headerText.optional(),
  OS_AUTH_URL: baseUrl(
    'the https:// URL of IAM, ending in /v3 (http:// on loopback, or with CFW_ALLOW_HTTP=true)',
    ({ pathname }) => /\/v3\/?$/.test(pathname),
  ).optional(),
  OS_USERNAME: z.string().optional(),
  OS_PASSWORD: z.string().optional(),
  OS_USER_DOMAIN_NAME: z.string().optional(),
  CFW_AUTH_TOKEN: headerText.optional(),
  REDIS_URL: url(
    'redis://[user:password@]host[:port][/db] or rediss:// for TLS',
    ({ protocol, pathname }) => /^rediss?:$/.test(protocol) && /^(\/\d*)?$/.test(pathname),
  ).default('redis://127.0.0.1:6379'),
  REDIS_SENTINELS: addresses,
  REDIS_SENTINEL_NAME: z.string().optional(),
  REDIS_SENTINEL_PASSWORD: z.string().optional(),
  REDIS_CLUSTER: addresses,
  REDIS_USERNAME: z.string().optional(),
  REDIS_PASSWORD: z.string().optional(),
  REDIS_TLS: flag,
  REDIS_TLS_CA_FILE: z.string().optional(),
  REDIS_TLS_CERT_FILE: z.string().optional(),
  REDIS_TLS_KEY_FILE: z.string().optional(),
  QUEUE_NAME: z
    .string()
    .default('cfw-jobs')
    .refine((text) => /^[\x21-\x39\x3b-\x7e]{1,128}$/.test(text), {
      error: 'allowed are 1 to 128 printable ASCII characters without spaces and colons',
    }),
  QUEUE_PREFIX: redisKey('{cfw}'),
  EVENT_STREAM: redisKey('{cfw}:events'),
  EVENT_STREAM_MAXLEN: integer('100000', 0, 1_000_000_000),
  EVENT_DEDUP_TTL: duration('7d', { min: 1_000, allowed: `from 1s: ${DURATION_FORM}` }),
  POLL_INITIAL_DELAY: duration('1s', { min: 50, max: DAY_MS, allowed: 'from 50ms to 24h' }),
  POLL_BACKOFF_FACTOR: number('1.5', 'a number from 1 to 10', (n) => n >= 1 && n <= 10),
  POLL_MAX_DELAY: duration('10s', { min: 50, max: DAY_MS, allowed: 'from 50ms to 24h' }),
  POLL_SCHEDULE: z.enum(['learned', 'exponential'], { error: 'allowed is learned or exponential' }).default('learned'),
  POLL_PRICE: duration('500ms', { min: 1, max: 600_000, allowed: 'from 1ms to 10m' }),
  POLL_TIMEOUT: duration('30m', { min: 1_000, max: DAY_MS, allowed: 'from 1s to 24h' }),
  WORKER_CONCURRENCY: integer('500', 1, 100_000),
  HTTP_HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:_-]+$/, { error: 'allowed is a host name or an IP address' })
    .default('127.0.0.1'),
  HTTP_PORT: integer('8080', 0, 65_535),
  HTTP_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]{16,}$/, { error: 'allowed are 16 or more printable ASCII characters without spaces' })
    .optional(),
  LOG_LEVEL: z.enum(LOG_LEVELS, { error: `allowed is one of ${LOG_LEVELS.join(', ')}` }).default('info'),
});

/** Where one server listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What a connection by TLS trusts and shows, in PEM; what is undefined is left to Node: its own authorities, no certificate. */
export interface TlsConfig {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: Secret | undefined;
}

/** How several Redis servers are logged in to; the URL of a single one has all of that. */
interface LoginConfig {
  readonly username: string | undefined;
  readonly password: Secret | undefined;
  readonly tls: TlsConfig | undefined;
}

/** How Redis is reached: one server, one that Sentinel tells, or a Redis Cluster. */
export type RedisConfig =
  | { readonly kind: 'server'; readonly url: Secret; readonly tls: TlsConfig | undefined }
  | (LoginConfig & {
      readonly kind: 'sentinel';
      readonly sentinels: readonly Address[];
      /** The name under which the Sentinels know the master. */
      readonly name: string;
      readonly sentinelPassword: Secret | undefined;
    })
  | (LoginConfig & { readonly kind: 'cluster'; readonly nodes: readonly Address[] });

/** The BullMQ queue. */
export interface QueueConfig {
  readonly name: string;
  readonly prefix: string;
}

/** The Redis stream of events and the memory of what was published. */
export interface EventsConfig {
  readonly stream: string;
  /** Entries to keep at least, approximately trimmed; 0 never trims. */
  readonly maxLength: number;
  /** How long a published job is remembered, in milliseconds. */
  readonly dedupTtlMs: number;
}

/** When jobs are asked for, and how often; all times in milliseconds. */
export interface PollingConfig {
  readonly initialDelayMs: number;
  readonly factor: number;
  readonly maxDelayMs: number;
  readonly schedule: 'learned' | 'exponential';
  /** How much delay one poll is worth to the learned schedule. */
  readonly priceMs: number;
  readonly timeoutMs: number;
  /** Calls a second, over all processes of one queue; 0 for no limit. */
  readonly ratePerSecond: number;
}

/** The part of the configuration that all commands need. */
export interface BaseConfig {
  readonly projectId: string | undefined;
  readonly redis: RedisConfig;
  readonly queue: QueueConfig;
  readonly events: EventsConfig;
  readonly polling: PollingConfig;
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

/** The one kind of credentials that is configured. */
export type CredentialsConfig =
  | {
      readonly kind: 'aksk';
      readonly accessKey: Secret;
      readonly secretKey: Secret;
      readonly securityToken: Secret | undefined;
    }
  | {
      readonly kind: 'iam';
      /** Ends in `/v3`. */
      readonly authUrl: string;
      readonly username: string;
      readonly password: Secret;
      readonly domainName: string;
      readonly proxy: Secret | undefined;
    }
  | { readonly kind: 'token'; readonly token: Secret };

/** The whole configuration: what the sidecar needs. */
export interface Config extends BaseConfig {
  readonly cfw: {
    /** Base URL without a trailing slash. */
    readonly endpoint: string;
    readonly requestTimeoutMs: number;
    /** From `HTTPS_PROXY` and its kin; `NO_PROXY` has been heeded. It may hold a password. */
    readonly proxy: Secret | undefined;
  };
  readonly credentials: CredentialsConfig;
  readonly worker: { readonly concurrency: number };
  readonly http: { readonly host: string; readonly port: number; readonly token: Secret | undefined };
}

type Environment = Readonly<Record<string, string | undefined>>;
type Parsed = z.output<typeof environmentSchema>;

/**
 * Reads what every command needs: Redis, the queue, the stream.
 *
 * @throws {ConfigError} naming every variable that does not fit.
 */
export function loadBaseConfig(env: Environment): BaseConfig {
  const { parsed, secrets, problems } = parseEnvironment(env);
  const tls = redisTls(parsed, givenIn(env), problems);
  problems.push(...redisProblems(parsed, givenIn(env)));
  if (problems.length > 0) throw new ConfigError(problems);
  return freeze(baseConfig(parsed as Parsed, secrets, tls));
}

/**
 * Reads the whole configuration from environment variables; an empty variable counts as not set.
 *
 * @throws {ConfigError} naming every variable that does not fit.
 */
export function loadConfig(env: Environment): Config {
  const { parsed, secrets, problems } = parseEnvironment(env);
  const tls = redisTls(parsed, givenIn(env), problems);
  problems.push(...redisProblems(parsed, givenIn(env)), ...problemsTogether(parsed, givenIn(env)));
  if (problems.length > 0) throw new ConfigError(problems);

  const whole = parsed as Parsed;
  const endpoint = whole.CFW_ENDPOINT ?? regionEndpoint(whole.CFW_REGION ?? '');
  return freeze({
    ...baseConfig(whole, secrets, tls),
    cfw: {
      endpoint: endpoint.replace(/\/+$/, ''),
      requestTimeoutMs: whole.CFW_REQUEST_TIMEOUT,
      proxy: proxyFor(endpoint),
    },
    credentials: credentialsConfig(whole, secrets),
    worker: { concurrency: whole.WORKER_CONCURRENCY },
    http: { host: whole.HTTP_HOST, port: whole.HTTP_PORT, token: secrets.HTTP_TOKEN },
  });
}

/** What is wrong with variables taken together; a variable that is wrong by itself is left to its own problem. */
function problemsTogether(parsed: Partial<Parsed>, given: (name: string) => boolean): string[] {
  const problems: string[] = [];
  if (!given('CFW_ENDPOINT') && !given('CFW_REGION')) {
    problems.push(
      'CFW_ENDPOINT or CFW_REGION is needed: the base URL of CFW, or a region of Huawei Cloud such as cn-north-4',
    );
  }
  problems.push(...credentialProblems(given));
  const { CFW_ALLOW_HTTP, POLL_INITIAL_DELAY, POLL_MAX_DELAY, HTTP_HOST } = parsed;
  for (const name of ['CFW_ENDPOINT', 'OS_AUTH_URL'] as const) {
    const address = parsed[name];
    if (address !== undefined && CFW_ALLOW_HTTP === false && isPlainBeyondLoopback(address)) {
      problems.push(
        `${name}: "${address}" is plain http beyond loopback; allowed is https://, or set CFW_ALLOW_HTTP=true`,
      );
    }
  }
  if (POLL_MAX_DELAY !== undefined && POLL_INITIAL_DELAY !== undefined && POLL_MAX_DELAY < POLL_INITIAL_DELAY) {
    problems.push(
      `POLL_MAX_DELAY: ${POLL_MAX_DELAY}ms is less than POLL_INITIAL_DELAY (${POLL_INITIAL_DELAY}ms); allowed is that or more`,
    );
  }
  if (HTTP_HOST !== undefined && !isLoopback(HTTP_HOST) && !given('HTTP_TOKEN')) {
    problems.push(
      `HTTP_TOKEN is needed where HTTP_HOST is not loopback ("${HTTP_HOST}"): a bearer token of 16 or more characters`,
    );
  }
  return problems;
}

/** The variables of each kind of credentials; those in brackets may be left out. */
const CREDENTIAL_KINDS = {
  'AK/SK': ['HUAWEICLOUD_SDK_AK', 'HUAWEICLOUD_SDK_SK', '[HUAWEICLOUD_SDK_SECURITY_TOKEN]'],
  'IAM user': ['OS_AUTH_URL', 'OS_USERNAME', 'OS_PASSWORD', 'OS_USER_DOMAIN_NAME'],
  'ready token': ['CFW_AUTH_TOKEN'],
} as const;

function credentialProblems(given: (name: string) => boolean): string[] {
  const plain = (name: string) => name.replace(/[[\]]/g, '');
  const ways = Object.entries(CREDENTIAL_KINDS).map(([kind, names]) => `${kind} (${names.join(', ')})`);
  const begun = Object.entries(CREDENTIAL_KINDS).filter(([, names]) => names.some((name) => given(plain(name))));
  if (begun.length !== 1) {
    const found = begun.length === 0 ? 'none are set' : `${begun.map(([kind]) => kind).join(' and ')} are set`;
    return [`credentials: ${found}; allowed is exactly one of ${ways.join(', ')}; secrets also as <NAME>_FILE`];
  }
  return begun.flatMap(([kind, names]) =>
    names
      .filter((name) => !name.startsWith('[') && !given(name))
      .map((name) => `${name} is needed for credentials of the kind ${kind}`),
  );
}

function credentialsConfig(parsed: Parsed, secrets: Partial<Record<SecretVariable, Secret>>): CredentialsConfig {
  if (secrets.CFW_AUTH_TOKEN !== undefined) return { kind: 'token', token: secrets.CFW_AUTH_TOKEN };
  if (parsed.OS_AUTH_URL !== undefined) {
    return {
      kind: 'iam',
      authUrl: parsed.OS_AUTH_URL.replace(/\/+$/, ''),
      username: parsed.OS_USERNAME as string,
      password: secrets.OS_PASSWORD as Secret,
      domainName: parsed.OS_USER_DOMAIN_NAME as string,
      proxy: proxyFor(parsed.OS_AUTH_URL),
    };
  }
  return {
    kind: 'aksk',
    accessKey: secrets.HUAWEICLOUD_SDK_AK as Secret,
    secretKey: secrets.HUAWEICLOUD_SDK_SK as Secret,
    securityToken: secrets.HUAWEICLOUD_SDK_SECURITY_TOKEN,
  };
}

/**
 * The proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name for a URL, in the form curl knows; what is on
 * loopback is asked for without one.
 */
function proxyFor(address: string): Secret | undefined {
  const proxy = isLoopback(new URL(address).hostname) ? '' : getProxyForUrl(address);
  if (proxy === '') return undefined;
  if (!URL.canParse(proxy) || !/^https?:$/.test(new URL(proxy).protocol)) {
    throw new ConfigError([
      'HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY): the value (not shown) does not fit; allowed is http://[user:password@]host:port',
    ]);
  }
  return new Secret(proxy);
}

function isPlainBeyondLoopback(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopback(hostname);
}

const isSecret = (name: string) => (SECRET_VARIABLES as readonly string[]).includes(name);

const isSet = (text: string | undefined): text is string => text !== undefined && text !== '';

/** Whether a variable is set, be it by itself or as a file. */
const givenIn = (env: Environment) => (name: string) =>
  isSet(env[name]) || (isSecret(name) && isSet(env[`${name}_FILE`]));

/** The three ways to Redis exclude one another, and what belongs to one makes no sense with another. */
function redisProblems(parsed: Partial<Parsed>, given: (name: string) => boolean): string[] {
  const problems: string[] = [];
  const ways = ['REDIS_URL', 'REDIS_SENTINELS', 'REDIS_CLUSTER'].filter(given);
  if (ways.length > 1) problems.push(`${ways.join(' and ')} are set; allowed is one of them`);
  if (given('REDIS_SENTINELS') !== given('REDIS_SENTINEL_NAME')) {
    problems.push(
      'REDIS_SENTINELS and REDIS_SENTINEL_NAME are needed together: where the Sentinels are, and the name of the master',
    );
  }
  if (given('REDIS_SENTINEL_PASSWORD') && !given('REDIS_SENTINELS')) {
    problems.push('REDIS_SENTINEL_PASSWORD is set; allowed is that with REDIS_SENTINELS only');
  }
  if (!given('REDIS_SENTINELS') && !given('REDIS_CLUSTER')) {
    for (const [name, where] of [
      ['REDIS_USERNAME', 'redis://user:password@host'],
      ['REDIS_PASSWORD', 'redis://user:password@host'],
      ['REDIS_TLS', 'rediss://host'],
    ] as const) {
      if (given(name) && parsed[name] !== false) {
        problems.push(
          `${name} is set; it goes with REDIS_SENTINELS or REDIS_CLUSTER, and REDIS_URL has it in itself: ${where}`,
        );
      }
    }
  }
  const { QUEUE_PREFIX, EVENT_STREAM } = parsed;
  if (given('REDIS_CLUSTER') && QUEUE_PREFIX !== undefined && EVENT_STREAM !== undefined) {
    const tag = hashTag(QUEUE_PREFIX);
    if (tag === undefined || tag !== hashTag(EVENT_STREAM)) {
      problems.push(
        `QUEUE_PREFIX and EVENT_STREAM: "${QUEUE_PREFIX}" and "${EVENT_STREAM}" must share one hash tag with REDIS_CLUSTER, ` +
          'so that all keys are on one node; allowed is the same text in braces in both, such as {cfw}',
      );
    }
  }
  return problems;
}

/** What of a key decides on its slot, where that is not the whole key (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags). */
function hashTag(key: string): string | undefined {
  return /^[^{]*\{([^}]+)\}/.exec(key)?.[1];
}

/** Reads the files of TLS; what is wrong with them is added to the problems. */
function redisTls(
  parsed: Partial<Parsed>,
  given: (name: string) => boolean,
  problems: string[],
): TlsConfig | undefined {
  const names = ['REDIS_TLS_CA_FILE', 'REDIS_TLS_CERT_FILE', 'REDIS_TLS_KEY_FILE'] as const;
  const byTls =
    given('REDIS_SENTINELS') || given('REDIS_CLUSTER')
      ? parsed.REDIS_TLS === true
      : parsed.REDIS_URL?.startsWith('rediss:') === true;
  if (!byTls && names.some(given)) {
    problems.push(
      `${names.filter(given).join(', ')}: set without TLS; allowed is that with rediss:// in REDIS_URL or with REDIS_TLS=true`,
    );
  }
  if (given('REDIS_TLS_CERT_FILE') !== given('REDIS_TLS_KEY_FILE')) {
    problems.push('REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE are needed together: the client certificate and its key');
  }
  const [ca, cert, key] = names.map((name) => {
    const file = parsed[name];
    if (file === undefined) return undefined;
    try {
      const text = readFileSync(file, 'utf8');
      if (text.includes('-----BEGIN ')) return text;
      problems.push(`${name}: "${file}" holds nothing in PEM; allowed is a file that begins with -----BEGIN`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      problems.push(`${name}: "${file}" cannot be read (${code}); allowed is the path of a readable file`);
    }
    return undefined;
  });
  return byTls ? { ca, cert, key: key === undefined ? undefined : new Secret(key) } : undefined;
}

function redisConfig(
  parsed: Parsed,
  secrets: Partial<Record<SecretVariable, Secret>>,
  tls: TlsConfig | undefined,
): RedisConfig {
  const login = { username: parsed.REDIS_USERNAME, password: secrets.REDIS_PASSWORD, tls };
  if (parsed.REDIS_SENTINELS !== undefined) {
    return {
      kind: 'sentinel',
      sentinels: parsed.REDIS_SENTINELS,
      name: parsed.REDIS_SENTINEL_NAME as string,
      sentinelPassword: secrets.REDIS_SENTINEL_PASSWORD,
      ...login,
    };
  }
  if (parsed.REDIS_CLUSTER !== undefined) return { kind: 'cluster', nodes: parsed.REDIS_CLUSTER, ...login };
  return { kind: 'server', url: secrets.REDIS_URL ?? new Secret(parsed.REDIS_URL), tls };
}

function baseConfig(
  parsed: Parsed,
  secrets: Partial<Record<SecretVariable, Secret>>,
  tls: TlsConfig | undefined,
): BaseConfig {
  return {
    projectId: parsed.CFW_PROJECT_ID,
    redis: redisConfig(parsed, secrets, tls),
    queue: { name: parsed.QUEUE_NAME, prefix: parsed.QUEUE_PREFIX },
    events: {
      stream: parsed.EVENT_STREAM,
      maxLength: parsed.EVENT_STREAM_MAXLEN,
      dedupTtlMs: parsed.EVENT_DEDUP_TTL,
    },
    polling: {
      initialDelayMs: parsed.POLL_INITIAL_DELAY,
      factor: parsed.POLL_BACKOFF_FACTOR,
      maxDelayMs: parsed.POLL_MAX_DELAY,
      schedule: parsed.POLL_SCHEDULE,
      priceMs: parsed.POLL_PRICE,
      timeoutMs: parsed.POLL_TIMEOUT,
      ratePerSecond: parsed.CFW_RATE_LIMIT,
    },
    logLevel: parsed.LOG_LEVEL,
  };
}

/** `eu-west-101` and its kin live under `.eu`, all other regions under `.com` (the vendor's SDK lists them so). */
function regionEndpoint(region: string): string {
  return `https://cfw.${region}.myhuaweicloud.${region.startsWith('eu-west-1') ? 'eu' : 'com'}`;
}

function parseEnvironment(env: Environment) {
  const problems: string[] = [];
  const secrets: Partial<Record<SecretVariable, Secret>> = {};
  const texts: Record<string, string> = {};

  for (const name of Object.keys(environmentSchema.shape)) {
    const text = env[name];
    if (isSet(text)) texts[name] = text;
  }
  for (const name of SECRET_VARIABLES) {
    const file = env[`${name}_FILE`];
    if (isSet(file)) {
      if (texts[name] !== undefined) {
        problems.push(`${name} and ${name}_FILE are both set; allowed is one of them`);
        continue;
      }
      try {
        const secret = Secret.fromFile(file);
        if (secret.reveal() === '') {
          problems.push(`${name}_FILE: "${file}" is empty; allowed is a file that holds the value`);
          continue;
        }
        secrets[name] = secret;
        texts[name] = secret.reveal();
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        problems.push(`${name}_FILE: "${file}" cannot be read (${code}); allowed is the path of a readable file`);
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
    if (issue !== undefined) problems.push(`${name}: ${given} does not fit; ${issue.message}`);
  }
  return { parsed: parsed as Partial<Parsed>, secrets, problems };
}

function freeze<T extends object>(config: T): T {
  for (const part of Object.values(config)) {
    if (typeof part === 'object' && part !== null && !(part instanceof Secret)) freeze(part);
  }
  return Object.freeze(config);
}
