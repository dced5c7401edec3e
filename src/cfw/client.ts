import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import got, { type Got, RequestError, type Response, TimeoutError } from 'got';
import type { FailedCall, PollAnswer } from '../polling/index.js';
import type { Credential } from './credentials/credential.js';
import { classify, retryAfter } from './errors.js';
import { parseErrorResponse, parseJobResponse } from './response.js';

/** A job of CFW. Both ids become part of the URL: `[A-Za-z0-9_-]{1,64}`, checked by whoever reads them. */
export interface CfwJobId {
  readonly projectId: string;
  readonly jobId: string;
}

/** How to reach CFW. */
export interface CfwClientOptions {
  /** Base URL without a trailing slash. */
  readonly endpoint: string;
  /** Bound of one call in milliseconds, connecting included. */
  readonly requestTimeoutMs: number;
  readonly credential: Credential;
}

/** An answer of more bytes than this is cut off: the real ones have about 200. */
const MAX_BODY_BYTES = 1_000_000;
/** Tokens of the vendor's IAM can be longer than Node's 16 KiB for all headers. */
const MAX_HEADER_BYTES = 65_536;
/** Connections to CFW at the most; calls beyond that wait for one within their timeout. */
const MAX_SOCKETS = 256;

/** Asks CFW for the state of jobs. */
export class CfwClient {
  readonly #endpoint: string;
  readonly #credential: Credential;
  readonly #agents: { http: HttpAgent; https: HttpsAgent };
  readonly #got: Got;

  constructor({ endpoint, requestTimeoutMs, credential }: CfwClientOptions) {
    this.#endpoint = endpoint;
    this.#credential = credential;
    const pool = { keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_SOCKETS };
    this.#agents = { http: new HttpAgent(pool), https: new HttpsAgent(pool) };
    this.#got = got.extend({
      agent: this.#agents,
      // CFW allows no other Content-Type, on a GET too.
      headers: { accept: 'application/json', 'content-type': 'application/json', 'user-agent': 'cfw-job-poller' },
      timeout: { request: requestTimeoutMs },
      retry: { limit: 0 },
      // A token must not travel to another host.
      followRedirect: false,
      throwHttpErrors: false,
      // Nothing is asked for compressed, so a small answer cannot turn out large.
      decompress: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      responseType: 'text',
    });
  }

  /**
   * `GET {endpoint}/v3/{project_id}/jobs/{job_id}`. Never throws: a call that fails is an answer too.
   *
   * @param signal gives the call up; the answer is then a transient failure with the code `ABORTED`.
   */
  async getJob({ projectId, jobId }: CfwJobId, signal?: AbortSignal): Promise<PollAnswer> {
    const url = new URL(`${this.#endpoint}/v3/${encodeURIComponent(projectId)}/jobs/${encodeURIComponent(jobId)}`);
    const cut = new AbortController();
    const onAbort = () => cut.abort();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      if (signal?.aborted) return transient('ABORTED', 'the call was given up');
      const headers = await this.#credential.authenticate({ method: 'GET', url, projectId });
      const call = this.#got(url, { headers, signal: cut.signal });
      call.on('downloadProgress', ({ transferred }) => {
        if (transferred > MAX_BODY_BYTES) cut.abort();
      });
      return toAnswer((await call) as Response<string>);
    } catch (error) {
      if (signal?.aborted) return transient('ABORTED', 'the call was given up');
      if (cut.signal.aborted)
        return transient('RESPONSE_TOO_LARGE', `the answer has more than ${MAX_BODY_BYTES} bytes`);
      return networkFailure(error);
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Closes the idle connections. */
  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }
}

function toAnswer(response: Response<string>): PollAnswer {
  const { statusCode: httpStatus, body: text, headers } = response;
  const body = parseJson(text);
  const error = parseErrorResponse(body);
  if (httpStatus === 200 && error === undefined) {
    return (
      parseJobResponse(body) ?? {
        ...transient('MALFORMED_RESPONSE', `the answer (${describe(text, headers)}) is not that of a job`),
        httpStatus,
      }
    );
  }
  const message = error?.message || `HTTP ${httpStatus} with ${describe(text, headers)}`;
  const waitMs = retryAfter(headers['retry-after'], message);
  return {
    kind: classify(httpStatus, error?.code),
    code: error?.code ?? `HTTP_${httpStatus}`,
    httpStatus,
    message,
    ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
  };
}

/** Tells what an unexpected body is like without repeating it: it can be anybody's, and of any length. */
function describe(text: string, headers: Response['headers']): string {
  if (text === '') return 'no body';
  const type = headers['content-type']?.split(';')[0] ?? 'no content type';
  return `${text.length} characters of ${type.slice(0, 50)}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function transient(code: string, message: string): FailedCall {
  return { kind: 'transient', code, httpStatus: null, message };
}

function networkFailure(error: unknown): FailedCall {
  if (error instanceof TimeoutError) return transient('ETIMEDOUT', error.message);
  if (error instanceof RequestError) return transient(error.code, error.message);
  return transient('UNEXPECTED', error instanceof Error ? error.message : String(error));
}
