import type { HttpClient } from '../http.js';
import { CredentialError } from './credential.js';
import type { KeySource } from './keys.js';
import { askSource, LOCAL_PAUSE_MS, securityKeyLease, sourceError } from './source.js';

/** The agency of the server that this process runs on. */
export interface EcsAgency {
  /** Base URL of the metadata service. */
  readonly endpoint: string;
}

const NAME = 'the metadata service of this server';
const CODE_PREFIX = 'METADATA';
/** The service is one hop away or not there at all. */
const TIMEOUT_MS = 3_000;
const TOKEN_LIFE_S = 21_600;
/** A token is exchanged this much ahead of its end. */
const TOKEN_AHEAD_MS = 60_000;

/** Keys of the agency that is assigned to the server, by version 2 of the metadata service or by version 1. */
export function ecsAgencySource({ endpoint }: EcsAgency, http: HttpClient): KeySource {
  let token: { value: string; until: number } | undefined;

  const sessionToken = async (): Promise<string | undefined> => {
    if (token !== undefined && performance.now() < token.until) return token.value;
    token = undefined;
    const answer = await askSource(http, NAME, {
      method: 'PUT',
      url: `${endpoint}/meta-data/latest/api/token`,
      headers: { 'X-Metadata-Token-Ttl-Seconds': String(TOKEN_LIFE_S) },
      timeoutMs: TIMEOUT_MS,
    });
    // Version 1 does not know of tokens.
    if ([404, 405, 503].includes(answer.httpStatus)) return undefined;
    const value = answer.text.trim();
    if (answer.httpStatus >= 300 || !/^[\x21-\x7e]+$/.test(value)) {
      throw sourceError(answer, { what: `${NAME} gives no session token`, codePrefix: CODE_PREFIX });
    }
    token = { value, until: performance.now() + TOKEN_LIFE_S * 1_000 - TOKEN_AHEAD_MS };
    return value;
  };

  const askKey = async () => {
    const session = await sessionToken();
    return await askSource(http, NAME, {
      method: 'GET',
      url: `${endpoint}/openstack/latest/securitykey`,
      headers: session === undefined ? {} : { 'X-Metadata-Token': session },
      timeoutMs: TIMEOUT_MS,
    });
  };

  return {
    maxPauseMs: LOCAL_PAUSE_MS,
    secrets: () => (token === undefined ? [] : [token.value]),
    async ask() {
      let answer = await askKey();
      if (answer.httpStatus === 401 && !needsAgency(answer.text)) {
        // The session token has ended, or belongs to a service that was restarted.
        token = undefined;
        answer = await askKey();
      }
      if (answer.httpStatus >= 400 && needsAgency(answer.text)) {
        throw new CredentialError({
          code: 'NO_AGENCY',
          httpStatus: answer.httpStatus,
          message: 'no agency is assigned to this server: assign one for the service ECS with read access to CFW',
          refused: true,
        });
      }
      return securityKeyLease(NAME, answer, CODE_PREFIX);
    },
  };
}

/** "… agency should be configured first", in a wording that differs by region. */
const needsAgency = (text: string) => /agency/i.test(text);
