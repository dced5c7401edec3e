/** A request that is about to be sent. */
export interface OutgoingRequest {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  /** The project whose resource is asked for; tokens are scoped to one. */
  readonly projectId: string;
}

/** Headers that authenticate one request. */
export type AuthHeaders = Readonly<Record<string, string>>;

/** Proves who we are. One kind is configured; the client knows none of them. */
export interface Credential {
  /**
   * The headers that authenticate this one request; asked for again for each attempt. Mostly they are there at once; a
   * promise is waited for within a bound.
   *
   * @throws {CredentialError} if the headers are not available now.
   */
  authenticate(request: OutgoingRequest): AuthHeaders | Promise<AuthHeaders>;
  /**
   * CFW has refused these headers (401).
   *
   * @returns whether there is something new to try at once: a token or key not yet used, or a file that has changed.
   */
  refused(headers: AuthHeaders): boolean;
  /** Watches files that hold secrets, and calls when one has changed. @returns how to stop that */
  watch(onChange: () => void): () => void;
  /** Texts that must not get out, as far as they are not in the headers. */
  secrets(): readonly string[];
}

/** What a source of keys or tokens gave, for logs, metrics and `doctor`. */
export type SourceEvent =
  | {
      readonly outcome: 'issued';
      /** When it ends, by the clock of this machine; epoch milliseconds. */
      readonly expiresAt: number;
      /** Whether it took the place of an earlier one. */
      readonly isRenewal: boolean;
    }
  | {
      /** The source answered otherwise, or did not answer. */
      readonly outcome: 'refused' | 'unreachable';
      readonly error: CredentialError;
    };

/** Hears of each request to a source. */
export type SourceObserver = (event: SourceEvent) => void;

/** The headers for a request are not available. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
  readonly code: string;
  readonly httpStatus: number | null;
  /** Refused for what we are (a wrong password), rather than unavailable just now. */
  readonly refused: boolean;
  /** The credential is good, but not for the project of this request: other projects are not affected. */
  readonly denied: boolean;
  /** When asking again makes sense, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;
  /** After a refusal: the pauses between probes, in milliseconds; the last one repeats. */
  readonly pausesMs: readonly number[];

  constructor(options: {
    code: string;
    httpStatus: number | null;
    message: string;
    refused: boolean;
    denied?: boolean;
    retryAfterMs?: number | undefined;
    pausesMs?: readonly number[];
    cause?: unknown;
  }) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.httpStatus = options.httpStatus;
    this.refused = options.refused;
    this.denied = options.denied ?? false;
    this.retryAfterMs = options.retryAfterMs;
    this.pausesMs = options.pausesMs ?? PASSWORD_PAUSES_MS;
  }
}

/**
 * Pauses between probes after refusals by CFW's gateway, in milliseconds; the last one repeats. The gateway locks a key for
 * 5 minutes after more than 5 wrong signatures in a row: 5 go out in the first 2.5 minutes, and each later one comes after
 * a lock would have run out. Sources without passwords are probed likewise.
 */
export const GATEWAY_PAUSES_MS: readonly number[] = [10_000, 20_000, 40_000, 80_000, 300_000];

/**
 * Pauses after refusals by IAM. It locks an account for 15 minutes after 3 (to 10) wrong passwords within 15 minutes, so
 * there are never more than 2 in such a window.
 */
export const PASSWORD_PAUSES_MS: readonly number[] = [30_000, 960_000];
