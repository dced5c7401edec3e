import type { Response } from 'got';
import * as z from 'zod';
import { readJson } from '../answer.js';
import { retryAfter } from '../errors.js';
import type { HttpClient } from '../http.js';
import { CredentialError, GATEWAY_PAUSES_MS, type SourceObserver } from './credential.js';
import type { PlainKey } from './keys.js';
import type { Lease } from './renewing.js';

/** The shortest pause after a failure, and so the shortest time between two requests to a source that is away. */
const PAUSE_MIN_MS = 1_000;
/** A source on this machine or in its network is asked again after this long at the most. */
export const LOCAL_PAUSE_MS = 5_000;
/** IAM is asked for tokens again after this long at the most, unless it names a longer time. */
export const IAM_PAUSE_MS = 60_000;
/** For keys it is asked sooner: there is one key for all projects, rather than a token for each. */
export const IAM_KEY_PAUSE_MS = 10_000;
/** Keys or tokens whose end cannot be read are good for this long; a refusal shows if they end sooner. */
export const UNKNOWN_LIFE_MS = 600_000;
/** A difference of clocks up to this is the rounding of the `Date` header and the way of the answer. */
const SAME_CLOCK_MS = 5_000;

/** A source failed and is not asked again before a time. */
export class SourcePause {
  readonly #maxMs: number;
  readonly #observe: SourceObserver;
  #failure: { readonly error: CredentialError; readonly until: number } | undefined;
  #count = 0;

  constructor({ maxMs, observe = () => {} }: { maxMs: number; observe?: SourceObserver }) {
    this.#maxMs = maxMs;
    this.#observe = observe;
  }

  /** Why the source is not asked now; undefined if it may be asked. */
  get error(): CredentialError | undefined {
    return this.#failure !== undefined && performance.now() < this.#failure.until ? this.#failure.error : undefined;
  }

  /** The source has answered as it should, or what it is asked with has changed. */
  clear(): void {
    this.#failure = undefined;
    this.#count = 0;
  }

  /**
   * Begins a pause, longer than the one before.
   *
   * @param told what is reported meanwhile.
   * @returns the same.
   */
  begin(error: CredentialError, told = error): CredentialError {
    this.#count += 1;
    const { refused, retryAfterMs = 0, pausesMs } = error;
    // The breaker's pauses are these, by another clock: a second less, so that its probe gets through and is not counted
    // as one more refusal without the source having been asked.
    const pauseMs = refused
      ? (pausesMs[Math.min(this.#count, pausesMs.length) - 1] ?? 0) - 1_000
      : Math.max(retryAfterMs, Math.min(PAUSE_MIN_MS * 2 ** (this.#count - 1), this.#maxMs));
    this.#failure = { error: told, until: performance.now() + pauseMs };
    return told;
  }

  /** Asks, unless there is a pause. @throws {CredentialError} of this request, or of the one before the pause */
  async guard<T>(ask: () => Promise<T>): Promise<T> {
    const { error } = this;
    if (error !== undefined) throw error;
    try {
      const answer = await ask();
      this.clear();
      return answer;
    } catch (reason) {
      const failure = reason instanceof CredentialError ? reason : unexpected(reason);
      this.#observe({ outcome: failure.httpStatus === null ? 'unreachable' : 'refused', error: failure });
      throw this.begin(failure);
    }
  }
}

/** What went wrong in a way that was not foreseen; what is asked again later. */
function unexpected(cause: unknown): CredentialError {
  const { code = 'UNEXPECTED', message = String(cause) } = (cause ?? {}) as { code?: string; message?: string };
  return new CredentialError({ code, httpStatus: null, message, refused: false, cause });
}

/** A request to a source. */
export interface SourceRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Bound of this request in milliseconds. @default the bound of the HTTP client */
  readonly timeoutMs?: number;
}

/** The answer of a source. */
export interface SourceAnswer {
  readonly httpStatus: number;
  readonly headers: Response['headers'];
  readonly text: string;
  readonly body: unknown;
}

/** Asks a source. @throws {CredentialError} if no answer came */
export async function askSource(http: HttpClient, name: string, request: SourceRequest): Promise<SourceAnswer> {
  const { method, url, headers = {}, body, timeoutMs } = request;
  try {
    const answer = await http<string>(url, {
      method,
      headers: { ...headers },
      ...(body === undefined ? {} : { body }),
      ...(timeoutMs === undefined ? {} : { timeout: { connect: timeoutMs, request: timeoutMs } }),
    });
    return { httpStatus: answer.statusCode, headers: answer.headers, text: answer.body, body: readJson(answer) };
  } catch (cause) {
    const { code = 'UNEXPECTED', message } = cause as NodeJS.ErrnoException;
    throw new CredentialError({
      code,
      httpStatus: null,
      message: `${name} cannot be reached: ${message}`,
      refused: false,
      cause,
    });
  }
}

const errorResponse = z.object({
  error_code: z.string().optional(),
  error_msg: z.string().optional(),
  // Plain Keystone: https://docs.openstack.org/api-ref/identity/v3/
  error: z.object({ code: z.union([z.int(), z.string()]), message: z.string() }).optional(),
});

/** What an answer means that gives nothing. */
export function sourceError(
  { httpStatus, headers, body }: SourceAnswer,
  {
    what,
    codePrefix,
    pausesMs = GATEWAY_PAUSES_MS,
  }: { what: string; codePrefix: string; pausesMs?: readonly number[] },
): CredentialError {
  const { error_code, error_msg, error } = errorResponse.safeParse(body).data ?? {};
  const message = error_msg ?? error?.message ?? `HTTP ${httpStatus}`;
  return new CredentialError({
    code: error_code ?? `${codePrefix}_HTTP_${httpStatus}`,
    httpStatus,
    message: `${what}: ${message}`,
    // 400 and 404 are answers to a request that stays as it is, such as an unknown project; asking often is no use.
    refused: [400, 401, 403, 404].includes(httpStatus),
    retryAfterMs: retryAfter(headers['retry-after'], message),
    pausesMs,
  });
}

/**
 * How long something lives, by the clock of the source alone if it differs from the clock here: issued to expiring, or the
 * date of the answer to expiring.
 *
 * @returns milliseconds; NaN if the times cannot be read.
 */
export function lifeOf(expires: string | undefined, issued: string | undefined, date: string | undefined): number {
  const now = Date.now();
  const there = Date.parse(date ?? '');
  const from = Date.parse(issued ?? '') || (Math.abs(there - now) > SAME_CLOCK_MS ? there : now);
  return Date.parse(expires ?? '') - from;
}

/** @throws {CredentialError} if the key has ended already */
export function keyLease(
  name: string,
  { headers }: SourceAnswer,
  { expires, ...value }: PlainKey & { expires: string | undefined },
): Lease<PlainKey> {
  const lifeMs = lifeOf(expires, undefined, headers.date);
  if (lifeMs <= 0) {
    throw new CredentialError({
      code: 'EXPIRED_KEY',
      httpStatus: null,
      message: `${name} gives a key that ended at ${expires}`,
      refused: false,
    });
  }
  return { value, lifeMs: Number.isNaN(lifeMs) ? UNKNOWN_LIFE_MS : lifeMs };
}

const securityKey = z.object({
  credential: z.object({
    access: z.string().min(1),
    secret: z.string().min(1),
    securitytoken: z.string().min(1).optional(),
    expires_at: z.string().optional(),
  }),
});

/**
 * Reads `{"credential": {"access", "secret", "securitytoken", "expires_at"}}`, the form of IAM and of the metadata service.
 *
 * @throws {CredentialError} if the answer is not of this form.
 */
export function securityKeyLease(name: string, answer: SourceAnswer, codePrefix: string): Lease<PlainKey> {
  const { success, data } = securityKey.safeParse(answer.body);
  if (answer.httpStatus >= 300 || !success) throw sourceError(answer, { what: `${name} gives no key`, codePrefix });
  const { access, secret, securitytoken, expires_at } = data.credential;
  const key = { accessKey: access, secretKey: secret, securityToken: securitytoken, expires: expires_at };
  return keyLease(name, answer, key);
}
