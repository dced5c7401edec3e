import * as z from 'zod';
import { eventSchema } from '../../events/index.js';
import {
  CFW_JOB_STATES,
  type CfwJobStatus,
  type CfwListedJob,
  type EnqueuedJob,
  jobDataSchema,
  MAX_LIMIT,
} from '../../queue/index.js';

/** Jobs in one request at the most. */
export const MAX_JOBS = 1_000;

/** The body of `POST /v1/jobs`: one job, or many. */
export const enqueueBody = z.union([
  jobDataSchema.meta({ title: 'One job' }),
  z.object({ jobs: z.array(jobDataSchema).min(1).max(MAX_JOBS) }).meta({ title: 'Many jobs' }),
]);

const id = jobDataSchema.shape.jobId;

const enqueuedJob = z.object({
  projectId: id,
  jobId: id,
  watchId: id.nullable(),
  queueJobId: z.string(),
  state: z.enum(['queued', 'completed', 'failed']),
}) satisfies z.ZodType<EnqueuedJob>;

/** What `POST /v1/jobs` answers: what became of each job, in order. */
export const enqueueAnswer = z.object({ jobs: z.array(enqueuedJob) });

/** The path of one job. */
export const jobPath = z.object({ projectId: id, jobId: id });
/** Its query. */
export const jobQuery = z.object({ watchId: id.optional() });

/** What it answers. */
export const jobAnswer = z.object({
  projectId: id,
  jobId: id,
  watchId: id.nullable(),
  state: z.enum(CFW_JOB_STATES),
  enqueuedAt: z.iso.datetime().nullable(),
  polls: z.int().min(0).nullable(),
  cfwStatus: z.string().nullable(),
  lastPollAt: z.iso.datetime().nullable(),
  nextPollAt: z.iso.datetime().nullable(),
  lastError: z
    .object({
      code: z.string(),
      httpStatus: z.int().nullish(),
      message: z.string(),
      requestId: z.string().nullish(),
    })
    .nullable(),
  event: eventSchema.nullable(),
}) satisfies z.ZodType<CfwJobStatus>;

const listedJob = jobAnswer.extend({
  projectId: id.nullable(),
  jobId: id.nullable(),
}) satisfies z.ZodType<CfwListedJob>;

/** What `GET /v1/jobs` answers. */
export const listAnswer = z.object({ jobs: z.array(listedJob), next: z.string().nullable() });

const limit = { error: `must be a whole number from 1 to ${MAX_LIMIT}` };

/** The query of `GET /v1/jobs`. */
export const listQuery = z.object({
  state: z.enum(CFW_JOB_STATES, { error: `must be one of ${CFW_JOB_STATES.join(', ')}` }).optional(),
  projectId: id.optional(),
  jobId: id.optional(),
  limit: z.coerce.number(limit).int(limit).min(1, limit).max(MAX_LIMIT, limit).default(50),
  cursor: z.string().max(2_000).optional(),
});

/** The query of `GET /v1/events`. */
export const eventsQuery = z.object({
  from: z.enum(['start', 'end'], { error: 'must be start or end' }).default('end'),
});

/** What `GET /healthz` answers. */
export const health = z.object({ status: z.literal('ok') });

/** Every error; see problem.ts. */
export const problem = z.object({
  type: z.literal('about:blank'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  problems: z.array(z.string()).optional(),
});

/** What `GET /readyz` answers; see health.ts. */
export const readiness = z.object({
  ready: z.boolean(),
  checks: z.record(
    z.string(),
    z.object({
      ok: z.boolean(),
      required: z.boolean(),
      since: z.iso.datetime(),
      error: z.string().nullable(),
      lastError: z.object({ error: z.string(), at: z.iso.datetime() }).nullable(),
    }),
  ),
});
