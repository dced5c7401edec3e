import { readFileSync } from 'node:fs';
import { Secret } from '../lib/secret.js';
import type { Given, Parsed, Secrets } from './environment.js';

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

/** The three ways to Redis exclude one another, and what belongs to one makes no sense with another. */
export function redisProblems(parsed: Partial<Parsed>, given: Given): string[] {
  const problems: string[] = [];
  const ways = ['REDIS_URL', 'REDIS_SENTINELS', 'REDIS_CLUSTER'].filter(given);
  if (ways.length > 1) problems.push(`${ways.join(' and ')} are set; expected one of them`);
  if (given('REDIS_SENTINELS') !== given('REDIS_SENTINEL_NAME')) {
    problems.push(
      'REDIS_SENTINELS and REDIS_SENTINEL_NAME are needed together: where the Sentinels are, and the name of the master',
    );
  }
  if (given('REDIS_SENTINEL_PASSWORD') && !given('REDIS_SENTINELS')) {
    problems.push('REDIS_SENTINEL_PASSWORD is set; expected with REDIS_SENTINELS only');
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
          'so that all keys are on one node; expected the same text in braces in both, such as {cfw}',
      );
    }
  }
  return problems;
}

/** What of a key decides on its slot, if that is not the whole key (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags). */
function hashTag(key: string): string | undefined {
  return /^[^{]*\{([^}]+)\}/.exec(key)?.[1];
}

/** Reads the files of TLS; what is wrong with them is added to the problems. */
export function redisTls(parsed: Partial<Parsed>, given: Given, problems: string[]): TlsConfig | undefined {
  const names = ['REDIS_TLS_CA_FILE', 'REDIS_TLS_CERT_FILE', 'REDIS_TLS_KEY_FILE'] as const;
  const byTls =
    given('REDIS_SENTINELS') || given('REDIS_CLUSTER')
      ? parsed.REDIS_TLS === true
      : parsed.REDIS_URL?.startsWith('rediss:') === true;
  if (!byTls && names.some(given)) {
    problems.push(
      `${names.filter(given).join(', ')}: set without TLS; expected with rediss:// in REDIS_URL or REDIS_TLS=true only`,
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
      problems.push(`${name}: "${file}" holds nothing in PEM; expected a file that begins with -----BEGIN`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      problems.push(`${name}: "${file}" cannot be read (${code}); expected the path of a readable file`);
    }
    return undefined;
  });
  return byTls ? { ca, cert, key: key === undefined ? undefined : new Secret(key) } : undefined;
}

export function redisConfig(parsed: Parsed, secrets: Secrets, tls: TlsConfig | undefined): RedisConfig {
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
