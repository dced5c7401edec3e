import { z } from 'zod';
import type { JobAnswer } from '../polling/index.js';

// The answer is read tolerantly: only `status` decides anything, so only it must be right. Regions add fields of their own.
const jobResponse = z.object({
  data: z.object({ status: z.string().min(1), begin_time: z.unknown().optional(), end_time: z.unknown().optional() }),
});

const errorResponse = z.object({
  error_code: z.string().min(1),
  error_msg: z.string().catch(''),
});

/** @returns the value, or undefined where the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @returns what CFW said of the job, or undefined where the body is no such answer. */
export function parseJobResponse(body: unknown): JobAnswer | undefined {
  const { success, data } = jobResponse.safeParse(body);
  if (!success) return undefined;
  const { status, begin_time, end_time } = data.data;
  return { kind: 'job', status, beginTime: parseTime(begin_time), endTime: parseTime(end_time) };
}

/** @returns the error in a body of the form `{"error_code": …, "error_msg": …}`, or undefined where it has another form. */
export function parseErrorResponse(body: unknown): { code: string; message: string } | undefined {
  // Most answers are none, and finding that out by the schema costs more than the rest of reading them.
  if (!Object.hasOwn(Object(body), 'error_code')) return undefined;
  const { success, data } = errorResponse.safeParse(body);
  return success ? { code: data.error_code, message: data.error_msg } : undefined;
}

const TIME = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2}(?:\.\d+)?)(Z|[+-]\d{2}:?\d{2})?$/i;

/**
 * Reads `begin_time` and `end_time`. They are documented as `yyyy-mm-ddThh:mm:ssZ`, with an offset such as `+0800` for
 * the Z, while the documented example shows epoch milliseconds; both occur. A time without an offset counts as UTC.
 *
 * @returns RFC 3339 in UTC with milliseconds; null where there is no time or none that can be read, since a time is no
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
