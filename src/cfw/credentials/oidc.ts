import type { HttpClient } from '../http.js';
import type { KeySource } from './keys.js';
import { readTokenFile } from './pod-identity.js';
import { askSource, IAM_KEY_PAUSE_MS, securityKeyLease, sourceError } from './source.js';

/** An identity provider that IAM trusts, and the token that it gave. */
export interface OidcLogin {
  /** Base URL of IAM, without a version. */
  readonly iamEndpoint: string;
  readonly idpId: string;
  /** The file of the JWT, which something else rotates. */
  readonly tokenFile: string;
  /** The project that the token in between is scoped to. */
  readonly projectId: string | undefined;
}

/** Temporary keys live this long, in seconds. */
const KEY_LIFE_S = 21_600;

/** Keys by OpenID Connect: IAM exchanges a JWT for a token, and the token for keys. */
export function oidcSource({ iamEndpoint, idpId, tokenFile, projectId }: OidcLogin, http: HttpClient): KeySource {
  let jwt = '';
  let token = '';
  return {
    maxPauseMs: IAM_KEY_PAUSE_MS,
    secrets: () => [jwt, token],
    async ask() {
      jwt = await readTokenFile(tokenFile);
      const scope = projectId === undefined ? {} : { scope: { project: { id: projectId } } };
      const exchanged = await askSource(http, 'IAM', {
        method: 'POST',
        url: `${iamEndpoint}/v3.0/OS-AUTH/id-token/tokens`,
        headers: { 'X-Idp-Id': idpId },
        body: JSON.stringify({ auth: { id_token: { id: jwt }, ...scope } }),
      });
      const subject = exchanged.headers['x-subject-token'];
      if (exchanged.httpStatus >= 300 || typeof subject !== 'string' || subject === '') {
        throw sourceError(exchanged, { what: `IAM takes no token of ${idpId}`, codePrefix: 'IAM' });
      }
      token = subject;
      const answer = await askSource(http, 'IAM', {
        method: 'POST',
        url: `${iamEndpoint}/v3.0/OS-CREDENTIAL/securitytokens`,
        headers: { 'X-Auth-Token': token },
        body: JSON.stringify({
          auth: { identity: { methods: ['token'], token: { duration_seconds: KEY_LIFE_S } } },
        }),
      });
      return securityKeyLease('IAM', answer, 'IAM');
    },
  };
}
