import type { Secret } from '../../lib/secret.js';
import type { CredentialKind } from '../variables.js';

/** A name or an id of a domain (account). */
export type DomainRef = { readonly id: string } | { readonly name: string };

/** Whom a Keystone token is asked for. */
export type IdentityConfig =
  | {
      readonly method: 'password';
      readonly user: { readonly id: string } | { readonly name: string; readonly domain: DomainRef };
      readonly password: Secret;
    }
  | { readonly method: 'application_credential'; readonly id: string; readonly secret: Secret }
  | { readonly method: 'token'; readonly token: Secret };

/** The project that the token for the catalogue is asked for. */
export type ProjectRef = { readonly id: string } | { readonly name: string; readonly domain: DomainRef };

/** Where keys or tokens come from. Files of other tools (`profile`, `cloud`) hold one of these. */
export type SourceConfig =
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
      readonly identity: IdentityConfig;
      readonly proxy: Secret | undefined;
    }
  | { readonly kind: 'token'; readonly token: Secret }
  | { readonly kind: 'pod-identity'; readonly uri: string; readonly tokenFile: string }
  | { readonly kind: 'ecs-agency'; readonly endpoint: string }
  | {
      readonly kind: 'oidc';
      readonly iamEndpoint: string;
      readonly idpId: string;
      readonly tokenFile: string;
      readonly projectId: string | undefined;
      readonly proxy: Secret | undefined;
    };

/** An agency of another account that the keys act as. */
export interface RoleConfig {
  readonly iamEndpoint: string;
  readonly agencyName: string;
  readonly domain: { readonly domain_id: string } | { readonly domain_name: string };
  readonly durationSeconds: number;
  readonly proxy: Secret | undefined;
}

/** The one kind of credentials that is configured. */
export interface CredentialsConfig {
  readonly kind: CredentialKind;
  /** The variables by which it was found. */
  readonly variables: readonly string[];
  readonly source: SourceConfig;
  readonly role: RoleConfig | undefined;
}

/** What a reader of one kind found, in the environment or in a file. */
export interface Found {
  readonly source: SourceConfig;
  /** What a file says beside the credentials; variables come first. */
  readonly projectId?: string | undefined;
  readonly project?: ProjectRef | undefined;
  readonly region?: string | undefined;
  readonly iamEndpoint?: string | undefined;
  /** Authorities to trust in place of Node's, in PEM. */
  readonly ca?: string | undefined;
}
