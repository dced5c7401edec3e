import * as z from 'zod';
import { ID_PATTERN } from '../lib/id.js';

const id = z
  .string({ error: 'must be a string' })
  .regex(ID_PATTERN, { error: 'must be 1 to 64 characters of A-Z a-z 0-9 _ -' });

/** The longest timeout of a job: 24 hours, in milliseconds. */
export const MAX_TIMEOUT_MS = 86_400_000;
/** The largest metadata: 4 KB, measured as UTF-8 bytes of its JSON. */
export const MAX_METADATA_BYTES = 4_096;

/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context/), 3.2.2: version, trace id, parent id and flags. An id of zeros
 * only is no id; later versions may add fields.
 */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{1,64})?$/;

const isJsonObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The data of a job in the queue, as producers write it. Fields it does not know are ignored. */
export const jobDataSchema = z.object(
  {
    /** The CFW job to watch. */
    jobId: id,
    /** The project it belongs to; `CFW_PROJECT_ID` where absent. */
    projectId: id.nullish(),
    /** Makes this a further watch of the job, with an event of its own. */
    watchId: id.nullish(),
    /** From enqueueing to giving up, in milliseconds; `POLL_TIMEOUT` where absent. */
    timeoutMs: z
      .int({ error: 'must be a whole number of milliseconds' })
      .min(1, { error: 'must be at least 1' })
      .max(MAX_TIMEOUT_MS, { error: `must be at most ${MAX_TIMEOUT_MS} (24 h)` })
      .nullish(),
    /** Returned untouched in the event. */
    metadata: z
      .custom<Record<string, unknown>>(isJsonObject, { error: 'must be a JSON object' })
      .refine((metadata) => Buffer.byteLength(JSON.stringify(metadata)) <= MAX_METADATA_BYTES, {
        error: `must have at most ${MAX_METADATA_BYTES} bytes as JSON`,
      })
      // For JSON Schema, which cannot know what a custom check accepts.
      .meta({ type: 'object', additionalProperties: true })
      .nullish(),
    /** The trace it belongs to. As the standard has it, one that cannot be read is left out: no job fails for that. */
    traceparent: z.string().regex(TRACEPARENT).nullish().catch(undefined),
  },
  { error: 'must be a JSON object' },
);

/** What a producer gives for one job. */
export type CfwJobRequest = z.input<typeof jobDataSchema>;

/** A job whose data is valid. */
export interface PollJob {
  readonly projectId: string;
  readonly jobId: string;
  readonly watchId: string | null;
  readonly timeoutMs: number | null;
  readonly metadata: Record<string, unknown> | null;
  readonly traceparent: string | null;
}

/** A job whose data is invalid, and what could be read of it all the same. */
export interface InvalidJob {
  readonly projectId: string | null;
  readonly jobId: string | null;
  readonly watchId: string | null;
  readonly metadata: Record<string, unknown> | null;
  readonly traceparent: string | null;
  /** One line for each invalid field. */
  readonly problems: readonly string[];
}

/** Stands in for the data of a job whose data is no JSON. */
export const NOT_JSON = Symbol('not JSON');

/** What stands in the queue can be anything. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return NOT_JSON;
  }
}

/**
 * Reads a job's data, whatever it is.
 *
 * @param defaultProjectId `CFW_PROJECT_ID`, for data that names no project.
 */
export function parseJobData(data: unknown, defaultProjectId: string | undefined): PollJob | InvalidJob {
  if (data === NOT_JSON) return { ...readableIds({}), problems: ['data is not JSON'] };
  const parsed = jobDataSchema.safeParse(data);
  const problems = (parsed.error?.issues ?? []).map(({ path, message }) => `${path.join('.') || 'data'} ${message}`);
  const projectId = parsed.data?.projectId ?? defaultProjectId;
  if (parsed.success && projectId === undefined) {
    problems.push('projectId is missing, and CFW_PROJECT_ID is not set');
  }
  if (!parsed.success || projectId === undefined) return { ...readableIds(data), problems };
  const { jobId, watchId, timeoutMs, metadata, traceparent } = parsed.data;
  return {
    projectId,
    jobId,
    watchId: watchId ?? null,
    timeoutMs: timeoutMs ?? null,
    metadata: metadata ?? null,
    traceparent: traceparent ?? null,
  };
}

function readableIds(data: unknown): Omit<InvalidJob, 'problems'> {
  const fields = isJsonObject(data) ? (data as Record<string, unknown>) : {};
  const readable = (name: 'projectId' | 'jobId' | 'watchId') => id.safeParse(fields[name]).data ?? null;
  return {
    projectId: readable('projectId'),
    jobId: readable('jobId'),
    watchId: readable('watchId'),
    metadata: jobDataSchema.shape.metadata.safeParse(fields.metadata).data ?? null,
    traceparent: jobDataSchema.shape.traceparent.parse(fields.traceparent) ?? null,
  };
}
