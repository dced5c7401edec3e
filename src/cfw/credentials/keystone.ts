import * as z from 'zod';
import type { Secret } from '../../lib/secret.js';
import type { HttpClient } from '../http.js';
import { type CredentialError, PASSWORD_PAUSES_MS } from './credential.js';
import { askSource, lifeOf, type SourceAnswer, sourceError, UNKNOWN_LIFE_MS } from './source.js';

/** A name or an id of what belongs to one domain (account). */
export type DomainRef = { readonly id: string } | { readonly name: string };

/** Whom a token is asked for. */
export type KeystoneIdentity =
  | {
      readonly method: 'password';
      readonly user: { readonly id: string } | { readonly name: string; readonly domain: DomainRef };
      readonly password: Secret;
    }
  /** It belongs to one project, so no scope is asked for. */
  | { readonly method: 'application_credential'; readonly id: string; readonly secret: Secret }
  | { readonly method: 'token'; readonly token: Secret };

/** A login at IAM, or at any Keystone v3. */
export interface KeystoneLogin {
  /** Base URL, ending in `/v3`. */
  readonly authUrl: string;
  readonly identity: KeystoneIdentity;
}

/** What a token is good for. */
export type KeystoneScope = {
  readonly project: { readonly id: string } | { readonly name: string; readonly domain: DomainRef };
};

/** A token with what its answer says. */
export interface KeystoneToken {
  readonly token: string;
  readonly lifeMs: number;
  readonly projectId: string | undefined;
  readonly answer: SourceAnswer;
}

const tokenResponse = z.object({
  token: z.object({
    issued_at: z.string().optional(),
    expires_at: z.string().optional(),
    project: z.object({ id: z.string() }).optional().catch(undefined),
  }),
});

/** The secret of a login; the only one it has. */
export function secretOf({ identity }: KeystoneLogin): Secret {
  switch (identity.method) {
    case 'password':
      return identity.password;
    case 'token':
      return identity.token;
    default:
      return identity.secret;
  }
}

/** `POST {authUrl}/auth/tokens`. @throws {CredentialError} */
export async function askToken(
  login: KeystoneLogin,
  http: HttpClient,
  { scope, catalog = false }: { scope: KeystoneScope | undefined; catalog?: boolean },
): Promise<KeystoneToken> {
  const isScoped = scope !== undefined && login.identity.method !== 'application_credential';
  const answer = await askSource(http, 'IAM', {
    method: 'POST',
    url: `${login.authUrl}/auth/tokens${catalog ? '' : '?nocatalog=true'}`,
    body: JSON.stringify({ auth: { identity: identityBody(login.identity), ...(isScoped ? { scope } : {}) } }),
  });
  const token = answer.headers['x-subject-token'];
  if (answer.httpStatus !== 201 || typeof token !== 'string' || token === '') {
    throw sourceError(answer, { what: 'IAM gives no token', codePrefix: 'IAM', pausesMs: PASSWORD_PAUSES_MS });
  }
  const { issued_at, expires_at, project } = tokenResponse.safeParse(answer.body).data?.token ?? {};
  const lifeMs = lifeOf(expires_at, issued_at, answer.headers.date);
  return { token, lifeMs: lifeMs > 0 ? lifeMs : UNKNOWN_LIFE_MS, projectId: project?.id, answer };
}

function identityBody(identity: KeystoneIdentity): object {
  switch (identity.method) {
    case 'password':
      return { methods: ['password'], password: { user: { ...identity.user, password: identity.password.reveal() } } };
    case 'token':
      return { methods: ['token'], token: { id: identity.token.reveal() } };
    default:
      return {
        methods: ['application_credential'],
        application_credential: { id: identity.id, secret: identity.secret.reveal() },
      };
  }
}

/** Whether IAM says that the password itself is wrong, or that it was tried too often. */
export const isPasswordRefused = ({ code }: CredentialError) => /^IAM\.006[12]$/.test(code);
