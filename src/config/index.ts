import { isLoopback } from '../lib/loopback.js';
import { Secret } from '../lib/secret.js';
import { type CredentialsConfig, credentialProblems, credentialsConfig } from './credentials.js';
import { type Environment, type Given, givenIn, type Parsed, parseEnvironment, type Secrets } from './environment.js';
import { ConfigError } from './error.js';
import { proxyFor } from './proxy.js';
import { type RedisConfig, redisConfig, redisProblems, redisTls, type TlsConfig } from './redis.js';
import type { LOG_LEVELS } from './variables.js';

export type { CredentialsConfig } from './credentials.js';
export { ConfigError } from './error.js';
export type { RedisConfig, TlsConfig } from './redis.js';
export { environmentSchema, LOG_LEVELS, SECRET_VARIABLES } from './variables.js';

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
  /** Base URL of CFW without a trailing slash, if it is configured. */
  readonly endpoint: string | undefined;
  readonly redis: RedisConfig;
  readonly queue: QueueConfig;
  readonly events: EventsConfig;
  readonly polling: PollingConfig;
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

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
  /** Whether polls and events are counted for each project by itself. */
  readonly metrics: { readonly projectLabel: boolean };
}

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
  const endpoint = endpointOf(whole) ?? '';
  return freeze({
    ...baseConfig(whole, secrets, tls),
    cfw: {
      endpoint,
      requestTimeoutMs: whole.CFW_REQUEST_TIMEOUT,
      proxy: proxyFor(endpoint),
    },
    credentials: credentialsConfig(whole, secrets),
    worker: { concurrency: whole.WORKER_CONCURRENCY },
    http: { host: whole.HTTP_HOST, port: whole.HTTP_PORT, token: secrets.HTTP_TOKEN },
    metrics: { projectLabel: whole.METRICS_PROJECT_LABEL },
  });
}

/** What is wrong with variables taken together; a variable that is wrong by itself is left to its own problem. */
function problemsTogether(parsed: Partial<Parsed>, given: Given): string[] {
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

function isPlainBeyondLoopback(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopback(hostname);
}

function baseConfig(parsed: Parsed, secrets: Secrets, tls: TlsConfig | undefined): BaseConfig {
  return {
    projectId: parsed.CFW_PROJECT_ID,
    endpoint: endpointOf(parsed),
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

function endpointOf({ CFW_ENDPOINT, CFW_REGION }: Pick<Parsed, 'CFW_ENDPOINT' | 'CFW_REGION'>): string | undefined {
  const endpoint = CFW_ENDPOINT ?? (CFW_REGION === undefined ? undefined : regionEndpoint(CFW_REGION));
  return endpoint?.replace(/\/+$/, '');
}

/** `eu-west-101` and its kin live under `.eu`, all other regions under `.com` (the vendor's SDK lists them so). */
function regionEndpoint(region: string): string {
  return `https://cfw.${region}.myhuaweicloud.${region.startsWith('eu-west-1') ? 'eu' : 'com'}`;
}

function freeze<T extends object>(config: T): T {
  for (const part of Object.values(config)) {
    if (typeof part === 'object' && part !== null && !(part instanceof Secret)) freeze(part);
  }
  return Object.freeze(config);
}
