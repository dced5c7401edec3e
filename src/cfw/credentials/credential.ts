/** A request that is about to be sent. */
export interface OutgoingRequest {
  readonly method: 'GET';
  readonly url: URL;
  /** The project whose resource is asked for; tokens are scoped to one. */
  readonly projectId: string;
}

/** Headers that authenticate one request. */
export type AuthHeaders = Readonly<Record<string, string>>;

/** Proves who we are. One kind is configured; the client knows none of them. */
export interface Credential {
  /**
   * The headers that authenticate this one request; asked for anew for each attempt. Mostly they are there at once; a
   * promise is waited for within a bound.
   *
   * @throws {CredentialError} where they cannot be had just now.
   */
  authenticate(request: OutgoingRequest): AuthHeaders | Promise<AuthHeaders>;
  /**
   * CFW has refused these headers (401).
   *
   * @returns whether there is something new to try at once: a token not yet used, or a file that has changed.
   */
  refused(headers: AuthHeaders): boolean;
  /** Watches files that hold secrets, and calls when one has changed. @returns how to stop that */
  watch(onChange: () => void): () => void;
  /** Texts that must not get out, as far as they are not in the headers. */
  secrets(): readonly string[];
}

/** The headers for a request cannot be had. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
  readonly code: string;
  readonly httpStatus: number | null;
  /** Refused for what we are (a wrong password), rather than unavailable just now. */
  readonly refused: boolean;
  /** When asking again makes sense, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;

  constructor(options: {
    code: string;
    httpStatus: number | null;
    message: string;
    refused: boolean;
    retryAfterMs?: number | undefined;
  }) {
    super(options.message);
    this.code = options.code;
    this.httpStatus = options.httpStatus;
    this.refused = options.refused;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/**
 * Pauses between probes after refusals by CFW's gateway, in milliseconds; the last one repeats. The gateway locks a key for
 * 5 minutes after more than 5 wrong signatures in a row: 5 go out in the first 2.5 minutes, and each later one comes after
 * a lock would have run out.
 */
export const GATEWAY_PAUSES_MS: readonly number[] = [10_000, 20_000, 40_000, 80_000, 300_000];

/**
 * Pauses after refusals by IAM. It locks an account for 15 minutes after 3 (to 10) wrong passwords within 15 minutes, so
 * there are never more than 2 in such a window.
 */
export const PASSWORD_PAUSES_MS: readonly number[] = [30_000, 960_000];
