import type { Secret } from '../../lib/secret.js';
import type { AuthHeaders, Credential, SourceObserver } from './credential.js';
import { type Lease, Renewing } from './renewing.js';
import { authorization, sdkDate } from './signature.js';
import { SourcePause } from './source.js';

/** A permanent key, or a temporary one with its security token, as texts. */
export interface PlainKey {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly securityToken?: string | undefined;
}

/** The same in their boxes; they may come from files. */
export interface AccessKey {
  readonly accessKey: Secret;
  readonly secretKey: Secret;
  readonly securityToken?: Secret | undefined;
}

/** Where keys come from that requests are signed with. */
export interface KeyProvider {
  /** The key that is good now. */
  get(): PlainKey | Promise<PlainKey>;
  /** CFW or IAM refused a signature of this access key. @returns whether there is another one to try at once */
  refused(accessKey: string | undefined): boolean;
  watch(onChange: () => void): () => void;
  secrets(): readonly string[];
}

/** Gives temporary keys: one kind of credentials, without the renewing. */
export interface KeySource {
  /** One answer of the source. @throws {CredentialError} */
  ask(): Promise<Lease<PlainKey>>;
  /** What the source is asked with, so that it can be kept out of messages. */
  secrets(): readonly string[];
  /** Watches the files that the source is asked with. */
  watch?(onChange: () => void): () => void;
  /** The longest pause between requests while the source is away, in milliseconds. */
  readonly maxPauseMs: number;
}

/** The key of the environment; it changes with its files only. */
export function keptKey({ accessKey, secretKey, securityToken }: AccessKey): KeyProvider {
  const secrets = [accessKey, secretKey, ...(securityToken === undefined ? [] : [securityToken])];
  return {
    get: () => ({
      accessKey: accessKey.reveal(),
      secretKey: secretKey.reveal(),
      securityToken: securityToken?.reveal(),
    }),
    // All files are read again, not only up to the first that changed; a key that changed meanwhile is new, too.
    refused: (refused) => secrets.map((secret) => secret.refresh()).includes(true) || refused !== accessKey.reveal(),
    watch: (onChange) => {
      const stops = secrets.map((secret) => secret.watch(onChange));
      return () => {
        for (const stop of stops) stop();
      };
    },
    secrets: () => secrets.map((secret) => secret.reveal()),
  };
}

/** Keys are renewed when this share of their life is left, but at most so many milliseconds ahead of their end. */
const RENEW_SHARE = 0.4;
const RENEW_AHEAD_MS = 2_400_000;

/** Temporary keys, renewed in the background ahead of their end. */
export function renewedKey(source: KeySource, observe: SourceObserver = () => {}): KeyProvider {
  const pause = new SourcePause({ maxMs: source.maxPauseMs, observe });
  /** Calls under way may still carry the key before the current one. */
  let known: readonly PlainKey[] = [];
  const renewing = new Renewing<PlainKey>({
    ask: async () => {
      const lease = await pause.guard(() => source.ask());
      if (known[0]?.accessKey !== lease.value.accessKey) known = [lease.value, ...known.slice(0, 1)];
      return lease;
    },
    mayAsk: () => pause.error === undefined,
    isSame: (a, b) => a.accessKey === b.accessKey && a.securityToken === b.securityToken,
    aheadMs: (lifeMs) => Math.min(lifeMs * RENEW_SHARE, RENEW_AHEAD_MS),
    observe,
  });
  return {
    get: () => renewing.get(),
    refused: (accessKey) => renewing.refused((key) => key.accessKey === accessKey),
    watch: (onChange) =>
      source.watch?.(() => {
        pause.clear();
        onChange();
      }) ?? (() => {}),
    secrets: () => [
      ...source.secrets(),
      ...known.flatMap(({ accessKey, secretKey, securityToken = '' }) => [accessKey, secretKey, securityToken]),
    ],
  };
}

/** Signs each request, since a signature older than 15 minutes is refused. */
export function signingCredential(keys: KeyProvider): Credential {
  return {
    authenticate({ method, url, projectId }) {
      const headers = (key: PlainKey) => signedHeaders(key, { method, url, headers: { 'X-Project-Id': projectId } });
      const key = keys.get();
      return key instanceof Promise ? key.then(headers) : headers(key);
    },
    refused: (headers) => keys.refused(/Access=([^,]+),/.exec(headers.Authorization ?? '')?.[1]),
    watch: keys.watch,
    secrets: keys.secrets,
  };
}

/** AK/SK of the environment. */
export const akskCredential = (key: AccessKey): Credential => signingCredential(keptKey(key));

/** The headers of a signed request. */
export function signedHeaders(
  { accessKey, secretKey, securityToken }: PlainKey,
  { method, url, headers, body }: { method: string; url: URL; headers: Record<string, string>; body?: string },
): AuthHeaders {
  const signed: Record<string, string> = {
    host: url.host,
    'X-Sdk-Date': sdkDate(new Date()),
    ...headers,
    ...(securityToken === undefined ? {} : { 'X-Security-Token': securityToken }),
  };
  return { ...signed, Authorization: authorization(accessKey, secretKey, { method, url, headers: signed, body }) };
}
