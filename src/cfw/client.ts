import { CancelError, type Got, RequestError, type Response, TimeoutError } from 'got';
import { ID_PATTERN } from '../lib/id.js';
import type { FailedCall, PollAnswer } from '../polling/index.js';
import { parseErrorResponse, parseJobResponse, parseRequestId, readJson } from './answer.js';
import { CredentialBreaker, type CredentialState, GIVEN_UP, type Permit, type Refusal } from './credentials/breaker.js';
import { type AuthHeaders, type Credential, CredentialError, GATEWAY_PAUSES_MS } from './credentials/credential.js';
import { classify, isAccountError, retryAfter } from './errors.js';
import { MAX_BODY_BYTES } from './http.js';
import { onAbort } from './on-abort.js';

/** A job of CFW. Both ids become part of the URL: `[A-Za-z0-9_-]{1,64}`, checked where they are read. */
export interface CfwJobId {
  readonly projectId: string;
  readonly jobId: string;
}

/** How to reach CFW. */
export interface CfwClientOptions {
  /** Base URL without a trailing slash. */
  readonly endpoint: string;
  /** Bound of one call in milliseconds, connecting included; getting a token is bounded by the same. */
  readonly requestTimeoutMs: number;
  readonly credential: Credential;
  /** Makes the calls; see `createHttp`. */
  readonly http: Got;
  /** Told when the credential is refused, and when it is accepted again. */
  readonly onCredentialState?: (state: CredentialState) => void;
}

/** got's own bound comes first, and says more; it has no effect on a call that still waits for a connection. */
const GRACE_MS = 500;
/** A clock that is off by more is told when CFW refuses us; signatures are refused from 15 minutes on. */
const CLOCK_SKEW_MS = 60_000;

/** Asks CFW for the state of jobs. */
export class CfwClient {
  readonly #options: CfwClientOptions;
  readonly #breaker: CredentialBreaker;
  readonly #stopWatching: () => void;

  constructor(options: CfwClientOptions) {
    this.#options = options;
    this.#breaker = new CredentialBreaker(options.onCredentialState);
    this.#stopWatching = options.credential.watch(() => this.#breaker.reset());
  }

  /** Whether CFW and IAM take our credentials. */
  get credentialState(): CredentialState {
    return this.#breaker.state;
  }

  /**
   * `GET {endpoint}/v3/{project_id}/jobs/{job_id}`. Does not throw: a call that fails is an answer too.
   *
   * @param signal gives the call up; the answer is then a transient failure with the code `ABORTED`.
   * @param maxMs how long it may take at the most, in milliseconds, if that is less than `requestTimeoutMs`.
   */
  async getJob(
    job: CfwJobId,
    signal: AbortSignal = new AbortController().signal,
    maxMs = Number.POSITIVE_INFINITY,
  ): Promise<PollAnswer> {
    const cut = new AbortController();
    const stopListening = onAbort(signal, () => cut.abort(signal.reason));
    const late = maxMs < this.#options.requestTimeoutMs ? cutAfter(cut, maxMs, 'no answer') : undefined;
    try {
      return await this.#getJob(job, cut);
    } finally {
      clearTimeout(late);
      stopListening();
    }
  }

  /** Stops watching files. */
  close(): void {
    this.#stopWatching();
  }

  async #getJob({ projectId, jobId }: CfwJobId, cut: AbortController): Promise<PollAnswer> {
    const { signal } = cut;
    const { endpoint, credential, http } = this.#options;
    // Both were checked long before; but "..", say, would make the request another one, with our credentials.
    if (!ID_PATTERN.test(projectId) || !ID_PATTERN.test(jobId)) {
      return { kind: 'invalid', code: 'INVALID_ID', httpStatus: null, message: 'the ids cannot be part of a URL' };
    }
    const acquired = await this.#breaker.acquire(signal);
    if ('withheld' in acquired) return acquired.withheld === GIVEN_UP ? givenUp(signal) : withheld(acquired.withheld);
    const { permit } = acquired;

    const url = new URL(`${endpoint}/v3/${projectId}/jobs/${jobId}`);
    let auth: AuthHeaders;
    try {
      const headers = credential.authenticate({ method: 'GET', url, projectId });
      auth = headers instanceof Promise ? await this.#inTime(headers, signal) : headers;
    } catch (error) {
      const refusal = error instanceof CredentialError ? error : unavailable(error);
      const failure = this.#scrubbed(refusal);
      if (signal.aborted) {
        permit.unknown(failure);
        return givenUp(signal);
      }
      if (refusal.refused) permit.refused(failure, refusal.pausesMs);
      else permit.unknown(failure);
      return refusal.denied ? { kind: 'denied', ...failure } : withheld(failure);
    }

    const answer = await this.#call(http, url, auth, cut);
    return this.#judge(answer, auth, permit);
  }

  async #call(http: Got, url: URL, auth: AuthHeaders, cut: AbortController): Promise<PollAnswer> {
    const { signal } = cut;
    const late = cutAfter(cut, this.#options.requestTimeoutMs + GRACE_MS, 'no connection was free');
    try {
      return toAnswer((await http.get(url, { headers: auth, signal })) as Response<string>);
    } catch (error) {
      return signal.aborted ? givenUp(signal) : networkFailure(error);
    } finally {
      clearTimeout(late);
    }
  }

  /** Draws conclusions about the credential, and keeps what we sent out of what is told. */
  #judge(answer: PollAnswer, auth: AuthHeaders, permit: Permit): PollAnswer {
    if (answer.kind === 'job') {
      permit.accepted();
      return answer;
    }
    const { requestId } = answer;
    const failure = {
      ...answer,
      ...this.#scrubbed(answer, auth),
      ...(requestId === undefined ? {} : { requestId: this.#scrubber(auth)(requestId) }),
    };
    if (failure.httpStatus === 401 || isAccountError(failure.code)) {
      if (failure.httpStatus === 401 && this.#options.credential.refused(auth)) {
        permit.unknown(failure);
        return { ...failure, retryAfterMs: 0 };
      }
      permit.refused(failure, GATEWAY_PAUSES_MS);
    } else if (['not-found', 'denied', 'rejected', 'invalid'].includes(failure.kind)) {
      permit.accepted();
    } else {
      permit.unknown(failure);
    }
    return failure;
  }

  /** Bounds the wait for headers. */
  async #inTime<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    let stopListening = () => {};
    const late = new Promise<never>((_, reject) => {
      const giveUp = (message: string) =>
        reject(new CredentialError({ code: 'ETIMEDOUT', httpStatus: null, message, refused: false }));
      timer = setTimeout(giveUp, this.#options.requestTimeoutMs, 'IAM did not answer in time');
      stopListening = onAbort(signal, () => giveUp('the call was given up'));
    });
    return await Promise.race([promise, late]).finally(() => {
      clearTimeout(timer);
      stopListening();
    });
  }

  /** Gateways repeat parts of a request in their errors; what is secret of it must not get into logs and events. */
  #scrubbed({ code, httpStatus, message }: Refusal, auth: AuthHeaders = {}): Refusal {
    const scrub = this.#scrubber(auth);
    return { code: scrub(code), httpStatus, message: scrub(message) };
  }

  #scrubber(auth: AuthHeaders): (text: string) => string {
    const values = Object.entries(auth).flatMap(([name, value]) => (PUBLIC_HEADERS.has(name) ? [] : [value]));
    const signatures = values.flatMap((value) => /Signature=(\w+)/.exec(value)?.[1] ?? []);
    const secrets = [...values, ...signatures, ...this.#options.credential.secrets()].filter((text) => text !== '');
    return (text) => secrets.reduce((clean, secret) => clean.replaceAll(secret, '[secret]'), text);
  }
}

const PUBLIC_HEADERS: ReadonlySet<string> = new Set(['host', 'X-Sdk-Date', 'X-Project-Id']);

function toAnswer(response: Response<string>): PollAnswer {
  const { statusCode: httpStatus, headers } = response;
  const body = readJson(response);
  const job = httpStatus === 200 ? parseJobResponse(body) : undefined;
  if (job !== undefined) return job;

  const error = parseErrorResponse(body);
  const requestId = parseRequestId(headers, body);
  const answered = { httpStatus, ...(requestId === undefined ? {} : { requestId }) };
  if (httpStatus === 200 && error?.code === undefined) {
    const what = body === undefined ? 'no JSON document' : 'not that of a job';
    return { ...transient('MALFORMED_RESPONSE', `the answer (${describe(response)}) is ${what}`), ...answered };
  }
  const message = error?.message || `HTTP ${httpStatus} with ${describe(response)}`;
  // "Retry-After: 0" is no reason to ask again at once; the schedule decides.
  const waitMs = retryAfter(headers['retry-after'], message) || undefined;
  return {
    kind: classify(httpStatus, error?.code),
    code: error?.code ?? `HTTP_${httpStatus}`,
    message: httpStatus === 401 ? message + clockSkew(headers.date) : message,
    ...answered,
    ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
  };
}

/** A clock that is off makes signatures invalid, and nothing else tells so plainly as both times side by side. */
function clockSkew(dateHeader: string | undefined): string {
  const there = Date.parse(dateHeader ?? '');
  const here = Date.now();
  if (!(Math.abs(there - here) > CLOCK_SKEW_MS)) return '';
  return ` (check the clock: here it is ${new Date(here).toISOString()}, there ${new Date(there).toISOString()})`;
}

/** Tells what an unexpected body is like without repeating it: it can be anybody's, and of any length. */
function describe({ body: text, headers }: Response<string>): string {
  if (text === '') return 'no body';
  const type = headers['content-type']?.split(';')[0] ?? 'no content type';
  // Of those that are known, it was taken away together with the compression.
  const encoding = headers['content-encoding'];
  return `${text.length} characters of ${type.slice(0, 50)}${encoding ? `, encoded as ${encoding.slice(0, 20)}` : ''}`;
}

function transient(code: string, message: string): FailedCall {
  return { kind: 'transient', code, httpStatus: null, message };
}

/** Gives a call up with what its answer is then. */
function cutAfter(cut: AbortController, ms: number, what: string): NodeJS.Timeout {
  return setTimeout(() => cut.abort(transient('ETIMEDOUT', `${what} within ${Math.round(ms)} ms`)), ms);
}

/** The answer of a call that was cut: what its signal was aborted with, else that it was given up. */
function givenUp({ reason }: AbortSignal): FailedCall {
  return (reason as Partial<FailedCall> | null)?.kind === 'transient' ? reason : { kind: 'transient', ...GIVEN_UP };
}

const TOO_LARGE = transient('RESPONSE_TOO_LARGE', `the answer has more than ${MAX_BODY_BYTES} bytes`);

function withheld({ code, httpStatus, message }: Refusal): FailedCall {
  return { kind: 'withheld', code, httpStatus, message };
}

function networkFailure(error: unknown): FailedCall {
  if (error instanceof CancelError) return TOO_LARGE;
  if (error instanceof TimeoutError) return transient('ETIMEDOUT', error.message);
  if (error instanceof RequestError) return transient(error.code, error.message);
  return transient('UNEXPECTED', error instanceof Error ? error.message : String(error));
}

function unavailable(error: unknown): CredentialError {
  const message = error instanceof Error ? error.message : String(error);
  return new CredentialError({ code: 'UNEXPECTED', httpStatus: null, message, refused: false });
}
