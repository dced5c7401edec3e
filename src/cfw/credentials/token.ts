import type { Secret } from '../../lib/secret.js';
import type { Credential } from './credential.js';

/** A ready token, handed in from outside; it is good for one project and cannot be renewed here. */
export function tokenCredential(token: Secret): Credential {
  return {
    authenticate: () => ({ 'X-Auth-Token': token.reveal() }),
    refused: (headers) => token.refresh() || headers['X-Auth-Token'] !== token.reveal(),
    watch: (onChange) => token.watch(onChange),
    secrets: () => [token.reveal()],
  };
}
