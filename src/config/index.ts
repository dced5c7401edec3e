import { isLoopback } from '../lib/loopback.js';
import { Secret } from '../lib/secret.js';
import {
  type CredentialsConfig,
  type DiscoveryConfig,
  isPlainBeyondLoopback,
  isProjectId,
  projectOf,
  readIdentity,
  regionEndpoint,
  regionOf,
} from './credentials/index.js';
import { type Environment, type Given, givenIn, type Parsed, parseEnvironment, type Secrets } from './environment.js';
import { ConfigError } from './error.js';
import { proxyFor } from './proxy.js';
import { type RedisConfig, redisConfig, redisProblems, redisTls, type TlsConfig } from './redis.js';
import type { LOG_LEVELS } from './variables.js';

export type { CredentialsConfig, DiscoveryConfig, RoleConfig, SourceConfig } from './credentials/index.js';
export { loadEnvFile } from './env-file.js';
export { ConfigError } from './error.js';
export type { RedisConfig, TlsConfig } from './redis.js';
export { CREDENTIAL_KINDS, type CredentialKind, environmentSchema, LOG_LEVELS, SECRET_VARIABLES } from './variables.js';

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
    /** Base URL without a trailing slash; '' while `discovery` has not been done. */
    readonly endpoint: string;
    readonly requestTimeoutMs: number;
    /** From `HTTPS_PROXY` and its kin; `NO_PROXY` has been applied. It may hold a password. */
    readonly proxy: Secret | undefined;
    /** Authorities that CFW and IAM are trusted by in place of Node's, in PEM. */
    readonly ca: string | undefined;
  };
  readonly credentials: CredentialsConfig;
  /** What Keystone has to be asked before the start; see `discover`. */
  readonly discovery: DiscoveryConfig | undefined;
  readonly worker: { readonly concurrency: number };
  readonly http: { readonly host: string; readonly port: number; readonly token: Secret | undefined };
  /** Whether polls and events are counted for each project by itself. */
  readonly metrics: { readonly projectLabel: boolean };
  /** The secrets that were read from files, by the name of the variable, such as `REDIS_URL_FILE` or `OS_CLOUD (auth.password)`. */
  readonly secretFiles: Readonly<Record<string, Secret>>;
}

/**
 * Reads what every command needs: Redis, the queue, the stream.
 *
 * @throws {ConfigError} naming every invalid variable.
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
 * @throws {ConfigError} naming every invalid variable.
 */
export function loadConfig(env: Environment): Config {
  const { parsed, secrets, secretFiles, problems } = parseEnvironment(env);
  const tls = redisTls(parsed, givenIn(env), problems);
  problems.push(...redisProblems(parsed, givenIn(env)));
  const identity = readIdentity(parsed, secrets, givenIn(env), problems);
  problems.push(...problemsTogether(parsed, givenIn(env)));
  if (problems.length > 0 || identity === undefined) throw new ConfigError(problems);

  const whole = parsed as Parsed;
  const { credentials, discovery, ca, projectId, endpoint = '', proxy } = identity;
  return freeze({
    ...baseConfig(whole, secrets, tls),
    projectId,
    cfw: { endpoint: endpoint.replace(/\/+$/, ''), proxy, requestTimeoutMs: whole.CFW_REQUEST_TIMEOUT, ca },
    credentials,
    discovery,
    worker: { concurrency: whole.WORKER_CONCURRENCY },
    http: { host: whole.HTTP_HOST, port: whole.HTTP_PORT, token: secrets.HTTP_TOKEN },
    metrics: { projectLabel: whole.METRICS_PROJECT_LABEL },
    secretFiles: { ...secretFiles, ...identity.secretFiles },
  });
}

/**
 * The configuration with what Keystone told.
 *
 * @throws {ConfigError} if that cannot be used.
 */
export function withDiscovered(
  config: Config,
  found: { endpoint: string | undefined; projectId: string | undefined },
): Config {
  const endpoint = config.cfw.endpoint || found.endpoint;
  const projectId = config.projectId ?? found.projectId;
  if (endpoint === undefined) {
    const { region } = config.discovery ?? {};
    throw new ConfigError([
      `CFW_ENDPOINT is needed: the catalogue of IAM has no public endpoint of CFW${region === undefined ? '' : ` in region ${region}`}`,
    ]);
  }
  if (config.discovery?.allowHttp !== true && isPlainBeyondLoopback(endpoint)) {
    throw new ConfigError([
      `CFW_ENDPOINT: the catalogue of IAM has "${endpoint}", which is plain http beyond loopback; set CFW_ENDPOINT, or CFW_ALLOW_HTTP=true`,
    ]);
  }
  const problems: string[] = [];
  const proxy = proxyFor(endpoint, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return freeze({
    ...config,
    cfw: { ...config.cfw, endpoint: endpoint.replace(/\/+$/, ''), proxy },
    projectId: projectId !== undefined && isProjectId(projectId) ? projectId : undefined,
    discovery: undefined,
  });
}

/** What is wrong with variables taken together; a variable that is wrong by itself is left to its own problem. */
function problemsTogether(parsed: Partial<Parsed>, given: Given): string[] {
  const problems: string[] = [];
  const { CFW_ALLOW_HTTP, CFW_ENDPOINT, POLL_INITIAL_DELAY, POLL_MAX_DELAY, HTTP_HOST } = parsed;
  if (CFW_ENDPOINT !== undefined && CFW_ALLOW_HTTP === false && isPlainBeyondLoopback(CFW_ENDPOINT)) {
    problems.push(
      `CFW_ENDPOINT: "${CFW_ENDPOINT}" is plain http beyond loopback; expected https://, or set CFW_ALLOW_HTTP=true`,
    );
  }
  if (POLL_MAX_DELAY !== undefined && POLL_INITIAL_DELAY !== undefined && POLL_MAX_DELAY < POLL_INITIAL_DELAY) {
    problems.push(
      `POLL_MAX_DELAY: ${POLL_MAX_DELAY}ms is less than POLL_INITIAL_DELAY (${POLL_INITIAL_DELAY}ms); expected that or more`,
    );
  }
  if (HTTP_HOST !== undefined && !isLoopback(HTTP_HOST) && !given('HTTP_TOKEN')) {
    problems.push(
      `HTTP_TOKEN is needed where HTTP_HOST is not loopback ("${HTTP_HOST}"): a bearer token of 16 or more characters`,
    );
  }
  return problems;
}

function baseConfig(parsed: Parsed, secrets: Secrets, tls: TlsConfig | undefined): BaseConfig {
  return {
    projectId: projectOf(parsed),
    endpoint: configuredEndpoint(parsed),
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

/** The endpoint of CFW by the environment alone; files of credentials and IAM's catalogue may know another one. */
function configuredEndpoint(parsed: Parsed): string | undefined {
  const region = regionOf(parsed);
  const endpoint = parsed.CFW_ENDPOINT ?? (region === undefined ? undefined : regionEndpoint('cfw', region));
  return endpoint?.replace(/\/+$/, '');
}

function freeze<T extends object>(config: T): T {
  for (const part of Object.values(config)) {
    if (typeof part === 'object' && part !== null && !(part instanceof Secret)) freeze(part);
  }
  return Object.freeze(config);
}
