export { CfwClient, type CfwClientOptions, type CfwJobId } from './client.js';
export type { Credential } from './credentials/credential.js';
export { tokenCredential } from './credentials/token.js';
