import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import type { SimulatorReply } from './http.js';

/** Errors by name, as the vendor's references word them. */
const ERRORS = {
  'not-found': { httpStatus: 404, code: 'CFW.00200005', message: 'The object does not exist.' },
  throttled: {
    httpStatus: 429,
    code: 'APIGW.0308',
    message: 'The throttling threshold has been reached: policy user over ratelimit,limit:200,time:1 second',
  },
  unavailable: { httpStatus: 503, code: 'APIGW.0605', message: 'Backend unavailable' },
  busy: { httpStatus: 400, code: 'CFW.00100001', message: 'System busy. Please try again later.' },
  unauthorized: { httpStatus: 401, code: 'APIGW.0301', message: 'Incorrect IAM authentication information' },
  denied: { httpStatus: 403, code: 'APIGW.0302', message: 'The IAM user is not allowed to access the API' },
  invalid: { httpStatus: 400, code: 'APIGW.0106', message: 'Invalid request parameters' },
} as const;

const NAMES = [
  ...(Object.keys(ERRORS) as (keyof typeof ERRORS)[]),
  'error',
  'echo',
  'status',
  'slow',
  'html',
  'empty',
  'truncated',
  'garbage',
  'huge',
  'drop',
] as const;

/** One thing that goes wrong with the calls for a job, for a number of calls or for a while. */
export const faultSchema = z
  .object({
    /**
     * An error by name (`not-found`, `throttled`, `unavailable`, `busy`, `unauthorized`, `denied`, `invalid`) or one of one's
     * own (`error`); an error that repeats our credentials (`echo`); an undocumented `status`; an answer that is `slow`, `html`, `empty`, `truncated`, `garbage` or `huge`;
     * a connection that is `drop`ped.
     */
    fault: z.enum(NAMES),
    /** How many calls it meets. @default 1, unless `forMs` is given */
    times: z.int().min(1).optional(),
    /** For how long after the job's creation it meets every call, in milliseconds. */
    forMs: z.int().min(1).optional(),
    /** Status, code and message of an error, in place of its usual ones. */
    httpStatus: z.int().min(200).max(599).optional(),
    code: z.string().optional(),
    message: z.string().optional(),
    /** The `Retry-After` header of an error. */
    retryAfter: z.string().optional(),
    /** The job's status for `status`. @default 'Pending' */
    status: z.string().min(1).optional(),
    /** How late a `slow` answer is, in milliseconds. @default 15000 */
    delayMs: z.int().min(0).max(600_000).optional(),
  })
  .strict();

export type Fault = z.output<typeof faultSchema>;

/** Faults that are left, oldest first. */
export class FaultScript {
  readonly #since = Date.now();
  readonly #faults: { fault: Fault; left: number }[];

  constructor(faults: readonly Fault[]) {
    this.#faults = faults.map((fault) => ({ fault, left: fault.times ?? (fault.forMs === undefined ? 1 : 0) }));
  }

  /** What has to go wrong with the next call. */
  next(): Fault | undefined {
    const now = Date.now();
    const current = this.#faults.find(
      ({ fault, left }) => left > 0 || (fault.forMs !== undefined && now < this.#since + fault.forMs),
    );
    if (current !== undefined && current.left > 0) current.left -= 1;
    return current?.fault;
  }
}

/** Acts a fault out; the answer that would have been given is needed for those that spoil it. */
export async function actOut(
  fault: Fault,
  reply: SimulatorReply,
  answer: { data?: { status: string } },
): Promise<unknown> {
  const healthy = JSON.stringify(answer);
  switch (fault.fault) {
    case 'status':
      return { data: { ...answer.data, status: fault.status ?? 'Pending' } };
    case 'echo': {
      const { authorization, ...headers } = reply.request.headers;
      const secrets = [authorization, headers['x-auth-token'], headers['x-security-token']].filter(Boolean).join(' ');
      return reply
        .code(fault.httpStatus ?? 500)
        .send({ error_code: fault.code ?? 'APIGW.0601', error_msg: `Request with ${secrets} failed` });
    }
    case 'slow':
      await sleep(fault.delayMs ?? 15_000, undefined, { ref: false });
      return answer;
    case 'html':
      return reply
        .code(fault.httpStatus ?? 502)
        .type('text/html')
        .send('<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>');
    case 'empty':
      return reply.code(fault.httpStatus ?? 502).send();
    case 'truncated':
      return reply.type('application/json').send(healthy.slice(0, healthy.length / 2));
    case 'garbage':
      return reply.type('application/json').send('\u0000\u0007}{ not JSON');
    case 'huge':
      return reply.type('application/json').send(`{"data":"${'x'.repeat(4_000_000)}"}`);
    case 'drop':
      reply.hijack();
      reply.raw.destroy();
      return undefined;
    default: {
      const usual =
        fault.fault === 'error'
          ? { httpStatus: 500, code: 'CFW.00500002', message: 'Internal error' }
          : ERRORS[fault.fault];
      if (fault.retryAfter !== undefined) reply.header('retry-after', fault.retryAfter);
      return reply.code(fault.httpStatus ?? usual.httpStatus).send({
        error_code: fault.code ?? usual.code,
        error_msg: fault.message ?? usual.message,
      });
    }
  }
}
