import * as z from 'zod';
import { DURATION_FORM } from '../lib/duration.js';
import { ID_PATTERN } from '../lib/id.js';
import { addresses, baseUrl, duration, flag, headerText, integer, number, redisKey, url } from './schemas.js';

/** Levels of pino, from silent to chatty. */
export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

/** Variables whose value is never shown and that can be given as a file by `<NAME>_FILE`. */
export const SECRET_VARIABLES = [
  'HUAWEICLOUD_SDK_AK',
  'HUAWEICLOUD_SDK_SK',
  'HUAWEICLOUD_SDK_SECURITY_TOKEN',
  'HW_ACCESS_KEY',
  'HW_SECRET_KEY',
  'HW_SECURITY_TOKEN',
  'OS_ACCESS_KEY',
  'OS_SECRET_KEY',
  'OS_PASSWORD',
  'OS_APPLICATION_CREDENTIAL_SECRET',
  'CFW_AUTH_TOKEN',
  'OS_TOKEN',
  'HW_AUTH_TOKEN',
  'REDIS_URL',
  'REDIS_PASSWORD',
  'REDIS_SENTINEL_PASSWORD',
  'HTTP_TOKEN',
] as const;

const DAY_MS = 86_400_000;

/** Kinds of credentials; docs/credentials.md describes each. */
export const CREDENTIAL_KINDS = [
  'aksk',
  'iam',
  'token',
  'pod-identity',
  'ecs-agency',
  'oidc',
  'profile',
  'cloud',
] as const;

export type CredentialKind = (typeof CREDENTIAL_KINDS)[number];

/** What a region of Huawei Cloud looks like. */
export const REGION_PATTERN = /^[a-z]{2,}(-[a-z0-9]+)+$/;

const region = z.string().regex(REGION_PATTERN, { error: 'expected a region such as eu-west-101 or cn-north-4' });
const projectId = z.string().regex(ID_PATTERN, { error: 'expected 1 to 64 of A-Z a-z 0-9 _ -' });

/** Every variable, with the text that counts if it is not set; `.env.example` is held to this by a test. */
export const environmentSchema = z.object({
  CFW_ENDPOINT: baseUrl(
    'an https:// URL without user, query or fragment (http:// on loopback, or with CFW_ALLOW_HTTP=true)',
  ).optional(),
  CFW_REGION: region.optional(),
  OS_REGION_NAME: z.string().optional(),
  HW_REGION_NAME: region.optional(),
  CFW_PROJECT_ID: projectId.optional(),
  OS_PROJECT_ID: projectId.optional(),
  HUAWEICLOUD_SDK_PROJECT_ID: projectId.optional(),
  HW_PROJECT_ID: projectId.optional(),
  CFW_REQUEST_TIMEOUT: duration('10s', { min: 100, max: 300_000, allowed: 'from 100ms to 5m' }),
  CFW_RATE_LIMIT: integer('100', 0, 100_000),
  CFW_ALLOW_HTTP: flag,
  CFW_CREDENTIALS: z
    .enum(['auto', ...CREDENTIAL_KINDS], { error: `expected auto, ${CREDENTIAL_KINDS.join(', ')}` })
    .default('auto'),
  HUAWEICLOUD_SDK_AK: headerText.optional(),
  HUAWEICLOUD_SDK_SK: headerText.optional(),
  HUAWEICLOUD_SDK_SECURITY_TOKEN: headerText.optional(),
  HW_ACCESS_KEY: headerText.optional(),
  HW_SECRET_KEY: headerText.optional(),
  HW_SECURITY_TOKEN: headerText.optional(),
  OS_ACCESS_KEY: headerText.optional(),
  OS_SECRET_KEY: headerText.optional(),
  OS_AUTH_URL: baseUrl(
    'the https:// URL of IAM, with or without /v3 at its end (http:// on loopback, or with CFW_ALLOW_HTTP=true)',
    ({ pathname }) => !/\/v\d/.test(pathname.replace(/\/v3\/?$/, '')),
  ).optional(),
  OS_USERNAME: z.string().optional(),
  OS_USER_ID: z.string().optional(),
  OS_PASSWORD: z.string().optional(),
  OS_USER_DOMAIN_ID: z.string().optional(),
  OS_USER_DOMAIN_NAME: z.string().optional(),
  OS_DOMAIN_ID: z.string().optional(),
  OS_DOMAIN_NAME: z.string().optional(),
  OS_DEFAULT_DOMAIN: z.string().optional(),
  OS_PROJECT_NAME: z.string().optional(),
  OS_APPLICATION_CREDENTIAL_ID: z.string().optional(),
  OS_APPLICATION_CREDENTIAL_SECRET: z.string().optional(),
  OS_CACERT: z.string().optional(),
  CFW_AUTH_TOKEN: headerText.optional(),
  OS_TOKEN: headerText.optional(),
  HW_AUTH_TOKEN: headerText.optional(),
  HC_CONTAINER_CREDENTIALS_FULL_URI: url('an http:// or https:// URL, as CCE sets it in the pod', ({ protocol }) =>
    /^https?:$/.test(protocol),
  ).optional(),
  HC_CONTAINER_AUTHORIZATION_TOKEN_FILE: z.string().optional(),
  CFW_METADATA_ENDPOINT: baseUrl('an http:// or https:// URL without user, query or fragment').default(
    'http://169.254.169.254',
  ),
  HUAWEICLOUD_SDK_IDP_ID: headerText.optional(),
  HUAWEICLOUD_SDK_ID_TOKEN_FILE: z.string().optional(),
  HUAWEICLOUD_SDK_IAM_ENDPOINT: baseUrl(
    'the https:// URL of IAM without a version (http:// on loopback, or with CFW_ALLOW_HTTP=true)',
    ({ pathname }) => !/\/v\d/.test(pathname),
  ).optional(),
  HUAWEICLOUD_SDK_CREDENTIALS_FILE: z.string().optional(),
  HUAWEICLOUD_SDK_PROFILE: z.string().optional(),
  OS_CLOUD: z.string().optional(),
  OS_CLIENT_CONFIG_FILE: z.string().optional(),
  HW_ASSUME_ROLE_AGENCY_NAME: z.string().optional(),
  HW_ASSUME_ROLE_DOMAIN_NAME: z.string().optional(),
  HW_ASSUME_ROLE_DOMAIN_ID: z.string().optional(),
  HW_ASSUME_ROLE_DURATION: integer('3600', 900, 86_400),
  REDIS_URL: url(
    'redis://[user:password@]host[:port][/db] or rediss:// for TLS',
    ({ protocol, hostname, pathname }) => /^rediss?:$/.test(protocol) && hostname !== '' && /^(\/\d*)?$/.test(pathname),
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
      error: 'expected 1 to 128 printable ASCII characters without spaces and colons',
    }),
  QUEUE_PREFIX: redisKey('{cfw}'),
  EVENT_STREAM: redisKey('{cfw}:events'),
  EVENT_STREAM_MAXLEN: integer('100000', 0, 1_000_000_000),
  EVENT_DEDUP_TTL: duration('7d', { min: 1_000, allowed: `from 1s: ${DURATION_FORM}` }),
  POLL_INITIAL_DELAY: duration('1s', { min: 50, max: DAY_MS, allowed: 'from 50ms to 24h' }),
  POLL_BACKOFF_FACTOR: number('1.5', 'a number from 1 to 10', (n) => n >= 1 && n <= 10),
  POLL_MAX_DELAY: duration('10s', { min: 50, max: DAY_MS, allowed: 'from 50ms to 24h' }),
  POLL_SCHEDULE: z.enum(['learned', 'exponential'], { error: 'expected learned or exponential' }).default('learned'),
  POLL_PRICE: duration('500ms', { min: 1, max: 600_000, allowed: 'from 1ms to 10m' }),
  POLL_TIMEOUT: duration('30m', { min: 1_000, max: DAY_MS, allowed: 'from 1s to 24h' }),
  WORKER_CONCURRENCY: integer('500', 1, 100_000),
  HTTP_HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:_-]+$/, { error: 'expected a host name or an IP address' })
    .default('127.0.0.1'),
  HTTP_PORT: integer('8080', 0, 65_535),
  HTTP_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]{16,}$/, { error: 'expected 16 or more printable ASCII characters without spaces' })
    .optional(),
  METRICS_PROJECT_LABEL: flag,
  LOG_LEVEL: z.enum(LOG_LEVELS, { error: `expected one of ${LOG_LEVELS.join(', ')}` }).default('info'),
});
