export { CfwClient, type CfwClientOptions, type CfwJobId } from './client.js';
export { type AccessKey, akskCredential, sign } from './credentials/aksk.js';
export type { CredentialState } from './credentials/breaker.js';
export type { Credential } from './credentials/credential.js';
export { type IamUser, iamCredential } from './credentials/iam.js';
export { tokenCredential } from './credentials/token.js';
export { createHttp, type HttpClient, type HttpOptions } from './http.js';
