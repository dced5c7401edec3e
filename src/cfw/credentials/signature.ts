import { createHash, createHmac } from 'node:crypto';

/** What a signature covers: the method, the URL, the headers given, and the body. */
export interface SignedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** @default '' */
  readonly body?: string | Uint8Array | undefined;
}

const ALGORITHM = 'SDK-HMAC-SHA256';

/** `YYYYMMDDTHHMMSSZ`, as `X-Sdk-Date` takes it. */
export function sdkDate(date: Date): string {
  return date.toISOString().replace(/[-:]|\.\d{3}/g, '');
}

/** The value of `Authorization` for a request, which must have the header `X-Sdk-Date`. */
export function authorization(accessKey: string, secretKey: string, request: SignedRequest): string {
  const { signedHeaders, signature } = sign(secretKey, request);
  return `${ALGORITHM} Access=${accessKey}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
}

/**
 * The signature of the vendor's API signing guide ("AK/SK signing and authentication algorithm"). The guide's details that
 * are easily missed: the canonical path ends in "/" though the URL does not, and query parameters are sorted.
 */
export function sign(secretKey: string, { method, url, headers, body = '' }: SignedRequest) {
  const lowerCase = Object.entries(headers)
    .map(([name, value]) => [name.toLowerCase(), value.trim()] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const signedHeaders = lowerCase.map(([name]) => name).join(';');
  const path = url.pathname
    .split('/')
    .map((segment) => encode(decodeURIComponent(segment)))
    .join('/');
  const query = [...url.searchParams]
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a, x], [b, y]) => (a === b ? (x < y ? -1 : 1) : a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  const canonicalRequest = [
    method,
    path.endsWith('/') ? path : `${path}/`,
    query,
    lowerCase.map(([name, value]) => `${name}:${value}\n`).join(''),
    signedHeaders,
    sha256(body),
  ].join('\n');
  const date = lowerCase.find(([name]) => name === 'x-sdk-date')?.[1] ?? '';
  const signature = createHmac('sha256', secretKey)
    .update([ALGORITHM, date, sha256(canonicalRequest)].join('\n'))
    .digest('hex');
  return { signedHeaders, signature };
}

const sha256 = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex');

/** Percent-encodes all but `A-Za-z0-9-_.~` (RFC 3986, 2.3); encodeURIComponent leaves five more. */
const encode = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
