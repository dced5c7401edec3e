import type { Secret } from '../lib/secret.js';
import type { Given, Parsed, Secrets } from './environment.js';
import { proxyFor } from './proxy.js';

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

/** The variables of each kind of credentials; those in brackets may be left out. */
const CREDENTIAL_KINDS = {
  'AK/SK': ['HUAWEICLOUD_SDK_AK', 'HUAWEICLOUD_SDK_SK', '[HUAWEICLOUD_SDK_SECURITY_TOKEN]'],
  'IAM user': ['OS_AUTH_URL', 'OS_USERNAME', 'OS_PASSWORD', 'OS_USER_DOMAIN_NAME'],
  'ready token': ['CFW_AUTH_TOKEN'],
} as const;

/** Exactly one kind of credentials must be there, and whole. */
export function credentialProblems(given: Given): string[] {
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

export function credentialsConfig(parsed: Parsed, secrets: Secrets): CredentialsConfig {
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
