export { CfwClient, type CfwClientOptions, type CfwJobId } from './client.js';
export type { CredentialState } from './credentials/breaker.js';
export { findInCatalogue } from './credentials/catalogue.js';
export { type Credential, CredentialError, type SourceEvent, type SourceObserver } from './credentials/credential.js';
export { ecsAgencySource } from './credentials/ecs-agency.js';
export { iamCredential } from './credentials/iam.js';
export {
  type AccessKey,
  akskCredential,
  type KeyProvider,
  keptKey,
  renewedKey,
  signingCredential,
} from './credentials/keys.js';
export type { DomainRef, KeystoneIdentity, KeystoneLogin, KeystoneScope } from './credentials/keystone.js';
export { oidcSource } from './credentials/oidc.js';
export { podIdentitySource } from './credentials/pod-identity.js';
export { type Role, roleSource } from './credentials/role.js';
export { sign } from './credentials/signature.js';
export { tokenCredential } from './credentials/token.js';
export { createHttp, type HttpClient, type HttpOptions } from './http.js';
