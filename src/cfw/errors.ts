import type { FailureKind } from '../polling/index.js';

interface Row {
  readonly httpStatus: readonly number[];
  /** Error codes, `APIGW.` for its twin `APIG.` too; a row without them takes every code. */
  readonly codes?: readonly (string | RegExp)[];
  readonly kind: FailureKind;
}

/** The error concerns the whole account: its quota is used up, or it is frozen for arrears. */
const ACCOUNT_CODES = ['APIGW.0501', 'APIGW.0502'];

/** Whether no call of this account can succeed, whatever it asks for. */
export function isAccountError(code: string): boolean {
  return ACCOUNT_CODES.includes(canonical(code));
}

/** `APIG.*` are twins of `APIGW.*`. */
const canonical = (code: string) => code.replace(/^APIG\./, 'APIGW.');

/**
 * What a failed call means, by HTTP status first, then by code, since one code comes with many a status. The first row
 * that fits counts. Sources: the error code pages of the vendor's CFW and API Gateway references.
 */
export const ERROR_TABLE: readonly Row[] = [
  {
    // CFW's own failure, though it says 400: "system busy", etcd away, "try again later".
    httpStatus: [400],
    codes: ['CFW.00109004', 'CFW.00109003', 'CFW.00300001', 'CFW.00100001', /^CFW\.0080000\d$/, 'CFW.00600003'],
    kind: 'transient',
  },
  // "The object does not exist", though it says 400.
  { httpStatus: [400], codes: ['CFW.00200005', 'CFW.00400008'], kind: 'not-found' },
  // Any other refusal by CFW itself is unknown on a read: it may pass.
  { httpStatus: [400], codes: [/^CFW\./], kind: 'rejected' },
  {
    httpStatus: [400, 413, 414, 494],
    codes: ['APIGW.0201', 'APIGW.0602', 'APIGW.0607', 'APIGW.0104', 'APIGW.0105', 'APIGW.0106'],
    kind: 'invalid',
  },
  { httpStatus: [413, 414, 431, 494], kind: 'invalid' },
  { httpStatus: [401], kind: 'unauthorized' },
  // The quota is used up, the account is frozen: the account's fault, not the job's.
  { httpStatus: [403, 405], codes: ACCOUNT_CODES, kind: 'unauthorized' },
  // The project is unavailable. That is no fault of the job either, but other projects go on, so each call tells of it.
  { httpStatus: [403, 405], codes: ['APIGW.0310'], kind: 'transient' },
  { httpStatus: [403], kind: 'denied' },
  { httpStatus: [404], kind: 'not-found' },
  { httpStatus: [429], kind: 'throttled' },
  // Timeouts of the other side.
  { httpStatus: [408, 425], kind: 'transient' },
];

/**
 * @param httpStatus of the answer.
 * @param code the answer's `error_code`, if it had one.
 */
export function classify(httpStatus: number, code: string | undefined): FailureKind {
  const known = code === undefined ? undefined : canonical(code);
  const fits = ({ codes }: Row) =>
    codes === undefined ||
    (known !== undefined && codes.some((one) => (typeof one === 'string' ? one === known : one.test(known))));

  // Some regions send errors with status 200: then the code alone has to do, and nothing in it is final.
  if (httpStatus >= 200 && httpStatus < 300) {
    const kind = ERROR_TABLE.find((row) => row.codes !== undefined && fits(row))?.kind ?? 'transient';
    return kind === 'invalid' ? 'rejected' : kind;
  }
  const row = ERROR_TABLE.find((candidate) => candidate.httpStatus.includes(httpStatus) && fits(candidate));
  if (row !== undefined) return row.kind;
  return httpStatus >= 400 && httpStatus < 500 ? 'rejected' : 'transient';
}

/** The longest wait that another side may impose: the longest window of the gateway's quotas is 5 minutes. */
export const MAX_RETRY_AFTER_MS = 600_000;

/** `Date.parse` by itself takes "-5" for a month. */
const HTTP_DATE = /^\s*[A-Za-z]{3,9}, .*GMT\s*$/;
const WINDOW = /time:\s*(\d+)\s*(second|minute|hour)/i;
const WINDOW_UNITS = { second: 1_000, minute: 60_000, hour: 3_600_000 } as const;

/**
 * How long the other side asks to wait: by `Retry-After` (seconds or an HTTP date, RFC 9110, 10.2.3), else by the window
 * that the gateway names in its message ("… limit:200,time:1 minute").
 *
 * @returns milliseconds, at most {@link MAX_RETRY_AFTER_MS}; undefined if it does not say.
 */
export function retryAfter(header: string | undefined, message: string, now = Date.now()): number | undefined {
  let waitMs: number | undefined;
  if (header !== undefined && /^\s*\d+\s*$/.test(header)) {
    waitMs = Number(header) * 1_000;
  } else if (header !== undefined && HTTP_DATE.test(header) && Number.isFinite(Date.parse(header))) {
    waitMs = Math.max(0, Date.parse(header) - now);
  } else {
    const window = WINDOW.exec(message);
    if (window !== null) {
      waitMs = Number(window[1]) * WINDOW_UNITS[window[2]?.toLowerCase() as keyof typeof WINDOW_UNITS];
    }
  }
  return waitMs === undefined ? undefined : Math.min(waitMs, MAX_RETRY_AFTER_MS);
}
