import { setTimeout as sleep } from 'node:timers/promises';
import {
  akskCredential,
  CfwClient,
  type Credential,
  CredentialError,
  type CredentialState,
  createHttp,
  ecsAgencySource,
  findInCatalogue,
  type HttpClient,
  iamCredential,
  type KeyProvider,
  keptKey,
  oidcSource,
  podIdentitySource,
  renewedKey,
  roleSource,
  type SourceEvent,
  type SourceObserver,
  signingCredential,
  tokenCredential,
} from './cfw/index.js';
import { type Config, type CredentialsConfig, type SourceConfig, withDiscovered } from './config/index.js';
import type { Secret } from './lib/secret.js';

/** How a request for a token or key came out: the source gave one, answered otherwise, or did not answer. */
export type TokenOutcome = SourceEvent['outcome'];

/** What a client reports. */
export interface ClientObserver {
  readonly onCredentialState?: (state: CredentialState) => void;
  readonly onToken?: (outcome: TokenOutcome) => void;
  /** A token or key was issued: its end, and whether it took the place of an earlier one. Static kinds never report. */
  readonly onIssued?: (issued: { expiresAt: Date; isRenewal: boolean }) => void;
  /** A token or key was asked for in vain, though nothing is refused: what gives them is away, or its file is no good. */
  readonly onNotIssued?: (failure: { code: string; httpStatus: number | null; message: string }) => void;
}

/** The client with the credential that is configured, and how to close both. */
export function createClient(
  config: Pick<Config, 'cfw' | 'credentials'>,
  {
    onCredentialState = () => {},
    onToken = () => {},
    onIssued = () => {},
    onNotIssued = () => {},
  }: ClientObserver = {},
): { client: CfwClient; credential: Credential; close: () => void } {
  const { requestTimeoutMs, proxy, endpoint, ca } = config.cfw;
  // A client without an endpoint would send credentials nowhere at best.
  if (endpoint === '') throw new Error('the endpoint of CFW is not known: discover() comes first');
  const https = new HttpPool({ requestTimeoutMs, ca });
  const credential: Credential = createCredential(config.credentials, https, (event) => {
    onToken(event.outcome);
    if (event.outcome === 'issued') {
      onIssued({ expiresAt: new Date(event.expiresAt), isRenewal: event.isRenewal });
    } else if (!event.error.refused) {
      const { code, httpStatus, message } = event.error;
      const secrets = credential.secrets().filter((text) => text !== '');
      onNotIssued({
        code,
        httpStatus,
        message: secrets.reduce((text, one) => text.replaceAll(one, '[secret]'), message),
      });
    }
  });
  const client = new CfwClient({
    endpoint,
    requestTimeoutMs,
    http: https.create(proxy),
    credential,
    onCredentialState,
  });
  return {
    client,
    credential,
    close: () => {
      client.close();
      https.close();
    },
  };
}

/** The pauses between attempts at discovery, in milliseconds; the last one repeats. */
const DISCOVERY_PAUSES_MS = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

/**
 * Asks Keystone for what the configuration leaves open: the endpoint of CFW, or the id of a project that is given by name.
 * It goes on until Keystone has answered.
 *
 * @param onError hears of each attempt that failed.
 * @throws {ConfigError} if the catalogue has no endpoint of CFW.
 * @throws {CredentialError} if Keystone refuses the login: repeating that would lock the account.
 * @throws {Error} the reason of the signal, once that is aborted.
 */
export async function discover(
  config: Config,
  { signal, onError = () => {} }: { signal?: AbortSignal; onError?: (error: CredentialError) => void } = {},
): Promise<Config> {
  const { discovery, cfw } = config;
  if (discovery === undefined) return config;
  const { login, project, region } = discovery;
  const { http, close } = createHttp({ requestTimeoutMs: cfw.requestTimeoutMs, proxy: login.proxy, ca: cfw.ca });
  try {
    for (let attempt = 0; ; attempt += 1) {
      signal?.throwIfAborted();
      try {
        const scope = project === undefined ? undefined : { project };
        return withDiscovered(config, await findInCatalogue(login, http, { scope, region }));
      } catch (error) {
        if (!(error instanceof CredentialError) || error.refused) throw error;
        onError(error);
        const pauseMs = DISCOVERY_PAUSES_MS[Math.min(attempt, DISCOVERY_PAUSES_MS.length - 1)] ?? 0;
        await sleep(Math.max(pauseMs, error.retryAfterMs ?? 0), undefined, signal === undefined ? {} : { signal });
      }
    }
  } finally {
    close();
  }
}

/** HTTP clients of one configuration, closed together. */
class HttpPool {
  readonly #options: { requestTimeoutMs: number; ca: string | undefined };
  readonly #closers: (() => void)[] = [];

  constructor(options: { requestTimeoutMs: number; ca: string | undefined }) {
    this.#options = options;
  }

  create(proxy: Secret | undefined): HttpClient {
    const { http, close } = createHttp({ ...this.#options, proxy });
    this.#closers.push(close);
    return http;
  }

  close(): void {
    for (const close of this.#closers) close();
  }
}

/** The credential of the one kind that is configured, with the role on top if there is one. */
function createCredential({ source, role }: CredentialsConfig, https: HttpPool, observe: SourceObserver): Credential {
  switch (source.kind) {
    case 'iam':
      return iamCredential(source, https.create(source.proxy), observe);
    case 'token':
      return tokenCredential(source.token);
    default: {
      if (role === undefined && source.kind === 'aksk') return akskCredential(source);
      // The keys of the role are those that are used; what is below is a detail of theirs.
      const keys = createKeys(source, https, role === undefined ? observe : () => {});
      if (role === undefined) return signingCredential(keys);
      return signingCredential(renewedKey(roleSource(role, keys, https.create(role.proxy)), observe));
    }
  }
}

type KeySourceConfig = Exclude<SourceConfig, { kind: 'iam' | 'token' }>;

function createKeys(source: KeySourceConfig, https: HttpPool, observe: SourceObserver): KeyProvider {
  switch (source.kind) {
    case 'aksk':
      return keptKey(source);
    // The sources on this machine and in its network are never asked through a proxy.
    case 'pod-identity':
      return renewedKey(podIdentitySource(source, https.create(undefined)), observe);
    case 'ecs-agency':
      return renewedKey(ecsAgencySource(source, https.create(undefined)), observe);
    case 'oidc':
      return renewedKey(oidcSource(source, https.create(source.proxy)), observe);
    default:
      return source satisfies never;
  }
}
