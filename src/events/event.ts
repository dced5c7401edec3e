import * as z from 'zod';

// Not z.record(): it builds a new object and so loses a key named __proto__.
const isJsonObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);

const timestamp = z.iso.datetime({ precision: 3 });
const id = z.string();

/** The `data` of an event: how one CFW job ended. */
export const eventDataSchema = z.object({
  /** null if the queue's data named none that could be read. */
  projectId: id.nullable(),
  jobId: id.nullable(),
  status: z.enum(['completed', 'failed']),
  /** The last status CFW gave, null if it never gave one. */
  cfwStatus: z.string().nullable(),
  reason: z
    .enum(['JOB_FAILED', 'JOB_NOT_FOUND', 'TIMED_OUT', 'ACCESS_DENIED', 'INVALID_REQUEST', 'CANCELLED'])
    .nullable(),
  /** For people. */
  message: z.string().nullable(),
  /** As CFW told them. */
  beginTime: timestamp.nullable(),
  endTime: timestamp.nullable(),
  enqueuedAt: timestamp,
  /** HTTP calls made for this job. */
  polls: z.int().min(0),
  watchId: id.nullable(),
  /** Failed calls by error code, the ten most frequent. */
  errorCounts: z.record(z.string(), z.int().min(1)),
  lastError: z
    .object({
      code: z.string(),
      httpStatus: z.int().nullable(),
      message: z.string(),
      /** `X-Request-Id` of the failed answer, which the vendor's support asks for. Events of older versions have none. */
      requestId: z.string().nullable().default(null),
    })
    .nullable(),
  /** The producer's own, returned untouched. */
  metadata: z
    .custom<Record<string, unknown>>(isJsonObject)
    .meta({ type: 'object', additionalProperties: true })
    .nullable(),
});

/** The `data` of an event. */
export type CfwJobEventData = z.output<typeof eventDataSchema>;

const attributes = {
  specversion: z.literal('1.0'),
  id: z.string().min(1),
  source: z.string().min(1),
  subject: z.string().min(1),
  time: timestamp,
  datacontenttype: z.literal('application/json'),
  /** The trace that the job belongs to: the Distributed Tracing extension of CloudEvents. Absent if there is none. */
  traceparent: z.string().optional(),
};

/** An event: the attributes of CloudEvents 1.0 (https://github.com/cloudevents/spec), each one a field of the stream entry. */
export const eventSchema = z.discriminatedUnion('type', [
  z.object({
    ...attributes,
    type: z.literal('cfw.job.completed'),
    data: eventDataSchema.extend({ status: z.literal('completed'), reason: z.null() }),
  }),
  z.object({
    ...attributes,
    type: z.literal('cfw.job.failed'),
    data: eventDataSchema.extend({ status: z.literal('failed'), reason: eventDataSchema.shape.reason.unwrap() }),
  }),
]);

/** An event as subscribers get it; `type` tells the two kinds apart. */
export type CfwJobEvent = z.output<typeof eventSchema>;

/** The fields of a stream entry, in the order in which they are written. */
export const ENTRY_FIELDS = [
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'datacontenttype',
  'traceparent',
  'data',
] as const;

/** @returns field, value, field, value … as XADD takes them; an attribute that is absent has no field. */
export function toEntry(event: CfwJobEvent): string[] {
  return ENTRY_FIELDS.flatMap((field) => {
    const value = field === 'data' ? JSON.stringify(event.data) : event[field];
    return value === undefined ? [] : [field, value];
  });
}

/** A stream entry that is no event of ours. */
export class InvalidEntryError extends Error {
  override readonly name = 'InvalidEntryError';
  readonly code = 'INVALID_ENTRY';
  readonly entryId: string;

  constructor(entryId: string, problem: string, options?: ErrorOptions) {
    super(`stream entry ${entryId} is no event of cfw-job-poller: ${problem}`, options);
    this.entryId = entryId;
  }
}

/**
 * Reads a stream entry (field, value, field, value … as XRANGE gives them). Fields it does not know are left out.
 *
 * @throws {InvalidEntryError} if the entry is no event.
 */
export function fromEntry(entryId: string, fields: readonly string[]): CfwJobEvent {
  const entry: Record<string, unknown> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) entry[fields[i] as string] = fields[i + 1];
  try {
    entry.data = JSON.parse(String(entry.data));
  } catch (cause) {
    throw new InvalidEntryError(entryId, 'its data is not JSON', { cause });
  }
  const { success, data, error } = eventSchema.safeParse(entry);
  if (!success) throw new InvalidEntryError(entryId, z.prettifyError(error), { cause: error });
  return data;
}
