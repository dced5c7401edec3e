import {
  akskCredential,
  CfwClient,
  type Credential,
  type CredentialState,
  createHttp,
  type HttpClient,
  iamCredential,
  tokenCredential,
} from './cfw/index.js';
import type { Config, CredentialsConfig } from './config/index.js';

/** How a request for a token came out: IAM gave one, answered otherwise, or did not answer. */
export type TokenOutcome = 'issued' | 'refused' | 'unreachable';

/** Who wants to hear of what. */
export interface ClientObserver {
  readonly onCredentialState?: (state: CredentialState) => void;
  readonly onToken?: (outcome: TokenOutcome) => void;
}

/** The client with the credential that is configured, and how to close both. */
export function createClient(
  { cfw, credentials }: Pick<Config, 'cfw' | 'credentials'>,
  { onCredentialState = () => {}, onToken = () => {} }: ClientObserver = {},
): { client: CfwClient; close: () => void } {
  const { requestTimeoutMs, proxy, endpoint } = cfw;
  const toCfw = createHttp({ requestTimeoutMs, proxy });
  const toIam = credentials.kind === 'iam' ? createHttp({ requestTimeoutMs, proxy: credentials.proxy }) : undefined;
  const client = new CfwClient({
    endpoint,
    requestTimeoutMs,
    http: toCfw.http,
    credential: createCredential(credentials, toldOf(toIam?.http ?? toCfw.http, onToken)),
    onCredentialState,
  });
  return {
    client,
    close: () => {
      client.close();
      toCfw.close();
      toIam?.close();
    },
  };
}

/** IAM is asked for nothing but tokens. */
function toldOf(http: HttpClient, onToken: (outcome: TokenOutcome) => void): HttpClient {
  return http.extend({
    hooks: {
      afterResponse: [
        (response) => {
          onToken(response.statusCode === 201 ? 'issued' : 'refused');
          return response;
        },
      ],
      beforeError: [
        (error) => {
          onToken('unreachable');
          return error;
        },
      ],
    },
  });
}

function createCredential(credentials: CredentialsConfig, iamHttp: HttpClient): Credential {
  switch (credentials.kind) {
    case 'aksk':
      return akskCredential(credentials);
    case 'iam':
      return iamCredential(credentials, iamHttp);
    case 'token':
      return tokenCredential(credentials.token);
    default:
      return credentials satisfies never;
  }
}
