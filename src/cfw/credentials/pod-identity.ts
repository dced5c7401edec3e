import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import type { HttpClient } from '../http.js';
import { CredentialError } from './credential.js';
import type { KeySource } from './keys.js';
import { askSource, keyLease, LOCAL_PAUSE_MS, sourceError } from './source.js';

/** The pod identity of a CCE cluster. */
export interface PodIdentity {
  /** Where the cluster gives keys, with its path. */
  readonly uri: string;
  /** The file of the pod's own token, which the cluster rotates. */
  readonly tokenFile: string;
}

const NAME = 'the pod identity of the cluster';

const keyResponse = z.object({
  credentials: z.object({
    accessKeyId: z.string().min(1),
    secretAccessKey: z.string().min(1),
    securityToken: z.string().min(1).optional(),
    expiration: z.string().optional(),
  }),
});

/** Keys by pod identity: the cluster exchanges the pod's token for keys of the agency that its service account is bound to. */
export function podIdentitySource({ uri, tokenFile }: PodIdentity, http: HttpClient): KeySource {
  let token = '';
  return {
    maxPauseMs: LOCAL_PAUSE_MS,
    secrets: () => [token],
    async ask() {
      token = await readTokenFile(tokenFile);
      const answer = await askSource(http, NAME, {
        method: 'POST',
        url: uri,
        headers: { Authorization: token },
        body: '{}',
      });
      const { success, data } = keyResponse.safeParse(answer.body);
      if (answer.httpStatus >= 300 || !success) {
        throw sourceError(answer, { what: `${NAME} gives no key`, codePrefix: 'POD_IDENTITY' });
      }
      const { accessKeyId, secretAccessKey, securityToken, expiration } = data.credentials;
      return keyLease(NAME, answer, {
        accessKey: accessKeyId,
        secretKey: secretAccessKey,
        securityToken,
        expires: expiration,
      });
    },
  };
}

/** Reads a token that something else rotates, so it is read for each request. @throws {CredentialError} */
export async function readTokenFile(file: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    const { code = 'UNEXPECTED' } = cause as NodeJS.ErrnoException;
    throw new CredentialError({
      code,
      httpStatus: null,
      message: `the token file ${file} cannot be read (${code})`,
      refused: false,
      cause,
    });
  }
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw new CredentialError({
    code: 'INVALID_TOKEN_FILE',
    httpStatus: null,
    message: `the token file ${file} holds no token: expected printable ASCII without spaces`,
    refused: false,
  });
}
