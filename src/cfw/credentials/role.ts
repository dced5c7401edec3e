import type { HttpClient } from '../http.js';
import type { KeyProvider, KeySource } from './keys.js';
import { signedHeaders } from './keys.js';
import { askSource, IAM_KEY_PAUSE_MS, type SourceAnswer, securityKeyLease } from './source.js';

/** An agency of another account that a key may act as. */
export interface Role {
  /** Base URL of IAM, without a version. */
  readonly iamEndpoint: string;
  readonly agencyName: string;
  /** The account that the agency belongs to. */
  readonly domain: { readonly domain_id: string } | { readonly domain_name: string };
  /** How long the keys of the role live, in seconds. */
  readonly durationSeconds: number;
}

/** Keys of a role: IAM gives them for a request that is signed with the keys below. */
export function roleSource(
  { iamEndpoint, agencyName, domain, durationSeconds }: Role,
  keys: KeyProvider,
  http: HttpClient,
): KeySource {
  const url = new URL(`${iamEndpoint}/v3.0/OS-CREDENTIAL/securitytokens`);
  const body = JSON.stringify({
    auth: {
      identity: {
        methods: ['assume_role'],
        assume_role: { agency_name: agencyName, ...domain, duration_seconds: durationSeconds },
      },
    },
  });
  const askSigned = async (): Promise<{ answer: SourceAnswer; accessKey: string }> => {
    const key = await keys.get();
    const headers = signedHeaders(key, { method: 'POST', url, headers: {}, body });
    const answer = await askSource(http, 'IAM', { method: 'POST', url: url.href, headers, body });
    return { answer, accessKey: key.accessKey };
  };
  return {
    maxPauseMs: IAM_KEY_PAUSE_MS,
    secrets: keys.secrets,
    watch: keys.watch,
    async ask() {
      let { answer, accessKey } = await askSigned();
      // The key below may have been renewed or exchanged meanwhile: one more try with the new one.
      if (answer.httpStatus === 401 && keys.refused(accessKey)) ({ answer, accessKey } = await askSigned());
      return securityKeyLease('IAM', answer, 'IAM');
    },
  };
}
