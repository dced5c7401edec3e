import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import * as z from 'zod';
import type { JobAnswer } from '../polling/index.js';
import { MAX_BODY_BYTES } from './http.js';

// The answer is read tolerantly: only `status` decides anything, so only it must be right. Regions add fields of their own.
const jobResponse = z.object({
  data: z.object({ status: z.string().min(1), begin_time: z.unknown().optional(), end_time: z.unknown().optional() }),
});

const KNOWN_STATUSES: ReadonlyMap<string, string> = new Map([
  ['running', 'Running'],
  ['success', 'Success'],
  ['failed', 'Failed'],
]);

/** What an error answer says. */
export interface ErrorResponse {
  readonly code: string | undefined;
  readonly message: string;
}

/** @returns the value, or undefined if the text is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.startsWith(BOM) ? text.slice(1) : text);
  } catch {
    return undefined;
  }
}

const BOM = '\uFEFF';

/** An answer as got gives it: without its encoding, if that is one alone and has its usual name. */
interface Answer {
  readonly body: string;
  readonly rawBody: Uint8Array;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** Reads the JSON of a body: in UTF-8, or in UTF-16 as some proxies on Windows make it. @returns undefined if it is none. */
export function readJson({ body, rawBody, headers }: Answer): unknown {
  const value = parseText(body, rawBody);
  const encodings = headers['content-encoding'];
  if (value !== undefined || typeof encodings !== 'string') return value;
  const bytes = decode(rawBody, encodings);
  return bytes === undefined ? undefined : parseText(new TextDecoder().decode(bytes), bytes);
}

const DECODERS: ReadonlyMap<string, (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array> = new Map([
  ['gzip', gunzipSync],
  ['x-gzip', gunzipSync],
  ['deflate', inflateSync],
  ['br', brotliDecompressSync],
]);

/** Takes encodings away that two proxies on the way laid one over the other, say. @returns undefined if that cannot be done. */
function decode(body: Uint8Array, encodings: string): Uint8Array | undefined {
  try {
    return encodings
      .toLowerCase()
      .split(',')
      .reduceRight((bytes, name) => {
        const decoder = DECODERS.get(name.trim());
        if (decoder === undefined) throw new Error('unknown');
        return decoder(bytes, { maxOutputLength: MAX_BODY_BYTES });
      }, body);
  } catch {
    return undefined;
  }
}

function parseText(text: string, rawBody: Uint8Array): unknown {
  const value = parseJson(text);
  if (value !== undefined) return value;
  const [first, second] = rawBody;
  // JSON begins with an ASCII character, so one of its two bytes is 0, unless a byte order mark comes first.
  if (second === 0 || (first === 0xff && second === 0xfe))
    return parseJson(new TextDecoder('utf-16le').decode(rawBody));
  if (first === 0 || (first === 0xfe && second === 0xff)) return parseJson(new TextDecoder('utf-16be').decode(rawBody));
  return undefined;
}

/** @returns what CFW said of the job, or undefined if the body is no such answer, or also one about an error. */
export function parseJobResponse(body: unknown): JobAnswer | undefined {
  const { success, data } = jobResponse.safeParse(body);
  // A plain `code` beside the data may also say that all is well.
  if (!success || errorIn(body, FORMS.slice(0, 2)) || errorIn(nested(body), FORMS)) return undefined;
  const { status, begin_time, end_time } = data.data;
  return {
    kind: 'job',
    // However it is spelt, it means what it says.
    status: KNOWN_STATUSES.get(status.trim().toLowerCase()) ?? status,
    beginTime: parseTime(begin_time),
    endTime: parseTime(end_time),
  };
}

type Form = readonly [code: string, message: string];
const FORMS: readonly Form[] = [
  ['error_code', 'error_msg'],
  ['errorCode', 'errorMsg'],
  ['code', 'message'],
];

/**
 * @returns the error in a body of one of the forms that regions and gateways use, at the top or in `error`; undefined
 *   if it has another form. A code that is no text, such as Keystone's HTTP status, is left out.
 */
export function parseErrorResponse(body: unknown): ErrorResponse | undefined {
  const error = nested(body);
  const found = errorIn(body, FORMS) ?? errorIn(error, FORMS);
  if (found !== undefined) return found;
  const message = [body, error]
    .flatMap((object) => FORMS.map(([, name]) => textOf(object, name)))
    .find((text) => text !== undefined);
  return message === undefined ? undefined : { code: undefined, message };
}

function errorIn(object: unknown, forms: readonly Form[]): ErrorResponse | undefined {
  for (const [codeName, messageName] of forms) {
    const code = textOf(object, codeName);
    if (code !== undefined) return { code, message: textOf(object, messageName) ?? '' };
  }
  return undefined;
}

const nested = (body: unknown): unknown => (body as { error?: unknown } | null | undefined)?.error;

function textOf(object: unknown, name: string): string | undefined {
  const value = (object as Record<string, unknown> | null | undefined)?.[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** @returns what the vendor's support asks for, to find a call in its logs. */
export function parseRequestId(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  body: unknown,
): string | undefined {
  return textOf(headers, 'x-request-id') ?? textOf(body, 'request_id');
}

const TIME = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2}(?:\.\d+)?)(Z|[+-]\d{2}:?\d{2})?$/i;

/**
 * Reads `begin_time` and `end_time`. They are documented as `yyyy-mm-ddThh:mm:ssZ`, with an offset such as `+0800` for
 * the Z, while the documented example shows epoch milliseconds; both occur. A time without an offset counts as UTC.
 *
 * @returns RFC 3339 in UTC with milliseconds; null if there is no time or none that can be read, since a time is no
 *   reason to lose a status over.
 */
export function parseTime(time: unknown): string | null {
  let milliseconds = Number.NaN;
  if (typeof time === 'number') {
    milliseconds = time;
  } else if (typeof time === 'string') {
    const text = time.trim();
    const match = TIME.exec(text);
    if (/^\d{10,16}$/.test(text)) {
      milliseconds = Number(text);
    } else if (match !== null) {
      const offset = (match[3] ?? 'Z').toUpperCase().replace(/^([+-]\d{2}):?(\d{2})$/, '$1:$2');
      milliseconds = Date.parse(`${match[1]}T${match[2]}${offset}`);
    }
  }
  // 0 is what a field that was never set looks like; four-digit years are all that RFC 3339 knows.
  if (!(milliseconds > 0 && milliseconds < Date.UTC(10_000, 0))) return null;
  return new Date(milliseconds).toISOString();
}
