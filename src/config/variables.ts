import { z } from 'zod';
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
  'OS_PASSWORD',
  'CFW_AUTH_TOKEN',
  'REDIS_URL',
  'REDIS_PASSWORD',
  'REDIS_SENTINEL_PASSWORD',
  'HTTP_TOKEN',
] as const;

const DAY_MS = 86_400_000;

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
  METRICS_PROJECT_LABEL: flag,
  LOG_LEVEL: z.enum(LOG_LEVELS, { error: `allowed is one of ${LOG_LEVELS.join(', ')}` }).default('info'),
});
