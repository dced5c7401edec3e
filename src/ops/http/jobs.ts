import type { Context } from 'hono';
import type { WatchedJob } from '../../events/index.js';
import {
  type CfwJobProducer,
  type CfwJobRequest,
  type CfwJobStatus,
  InvalidCursorError,
  InvalidJobError,
} from '../../queue/index.js';
import type { RedisClient } from '../../redis/index.js';
import { inTime, LateError } from '../in-time.js';
import type { Logger } from '../logger.js';
import { HttpProblem } from './problem.js';
import { type App, type AppEnv, checked, jsonBody, queryOf, route } from './routes.js';
import { jobPath, jobQuery, listQuery, MAX_JOBS } from './schemas.js';
import { preferredWait, Waits } from './waits.js';

/** Who asks by HTTP is told after this that Redis is away. */
const REDIS_LIMIT_MS = 5_000;
/** A thousand wrong jobs need not be told one by one. */
const MAX_PROBLEMS = 20;

/** What the routes need. */
export interface JobsRouteOptions {
  readonly producer: CfwJobProducer;
  /** The producer's connection. */
  readonly redis: RedisClient;
  /** The stream of events. */
  readonly eventStream: string;
  readonly logger: Logger;
  /** Aborted when the sidecar stops: what waits is answered. */
  readonly closing: AbortSignal;
}

/** The routes of jobs, by the job and by the list. */
export function jobsRoutes(app: App, options: JobsRouteOptions): void {
  const { producer } = options;
  const waits = new Waits(options);

  route(app, '/v1/jobs', {
    GET: async (c) => {
      const { jobs, next } = await overRedis(options, () => producer.list(checked(listQuery, queryOf(c))));
      return c.json({ jobs, next });
    },
    POST: async (c) => {
      const body = await jsonBody(c);
      // The header of the request is for the jobs that name no trace of their own.
      const traceparent = c.req.header('traceparent');
      const traced = (job: unknown) =>
        traceparent !== undefined && isObject(job) && job.traceparent == null ? { ...job, traceparent } : job;
      const isMany = isObject(body) && 'jobs' in body;
      if (isMany) checkMany(body);
      const enqueue = isMany
        ? () => producer.enqueueMany((body.jobs as unknown[]).map(traced) as CfwJobRequest[])
        : async () => [await producer.enqueue(traced(body) as CfwJobRequest)];
      const jobs = await overRedis(options, enqueue);
      const [only] = jobs;
      if (!isMany && only !== undefined) {
        const watch = only.watchId === null ? '' : `?watchId=${only.watchId}`;
        c.header('location', `/v1/jobs/${only.projectId}/${only.jobId}${watch}`);
      }
      return c.json({ jobs }, 202);
    },
  });

  route(app, '/v1/jobs/:projectId/:jobId', {
    GET: async (c) => {
      const job = jobOf(c);
      const look = () => overRedis(options, () => producer.status(job));
      const seconds = preferredWait(c.req.header('prefer'));
      c.header('vary', 'Prefer');
      if (seconds !== undefined) c.header('preference-applied', `wait=${seconds}`);
      const found = await waits.untilEnded(job, look, (seconds ?? 0) * 1_000, c.env.outgoing);
      if (found !== undefined) return c.json(found);
      throw unknownJob();
    },
    DELETE: async (c) => {
      return c.json(await cancelJob(options, jobOf(c)));
    },
  });
}

/** The answer to the name of a job that is not known. */
export const unknownJob = () =>
  new HttpProblem(404, 'this job is not known: never enqueued, or ended longer ago than EVENT_DEDUP_TTL');

/**
 * Cancels a job.
 *
 * @returns where it stands then.
 * @throws {HttpProblem} if it is not known.
 */
export async function cancelJob(options: JobsRouteOptions, job: WatchedJob): Promise<CfwJobStatus> {
  const [cancelled] = await overRedis(options, () => options.producer.cancelMany([job]));
  if (cancelled?.job === undefined) throw unknownJob();
  const { projectId, jobId, watchId = undefined } = job;
  if (cancelled.result === 'cancelled') options.logger.info({ projectId, jobId, watchId }, 'job cancelled');
  return cancelled.job;
}

/** The job that path and query name. */
export function jobOf(c: Context<AppEnv>) {
  return { ...checked(jobPath, c.req.param()), ...checked(jobQuery, queryOf(c)) };
}

function checkMany(body: Record<string, unknown>): void {
  const { jobs, jobId } = body;
  if (jobId !== undefined) throw new HttpProblem(400, 'the body has both "jobs" and "jobId"; give one of them');
  if (!Array.isArray(jobs)) throw new HttpProblem(400, `"jobs" must be an array of 1 to ${MAX_JOBS} jobs`);
  if (jobs.length === 0 || jobs.length > MAX_JOBS) {
    throw new HttpProblem(400, `"jobs" has ${jobs.length} jobs; expected 1 to ${MAX_JOBS}. Nothing was enqueued`);
  }
}

/** Does something over Redis, and puts what goes wrong into words of HTTP. */
export async function overRedis<T>({ redis, logger }: JobsRouteOptions, work: () => Promise<T>): Promise<T> {
  if (redis.status !== 'ready') throw unavailable('Redis is away; nothing was done, try again later');
  try {
    return await inTime(work(), REDIS_LIMIT_MS);
  } catch (error) {
    if (error instanceof HttpProblem) throw error;
    if (error instanceof InvalidJobError) throw invalid(error);
    if (error instanceof InvalidCursorError) throw new HttpProblem(400, error.message);
    if (error instanceof LateError) {
      throw unavailable('Redis does not answer; jobs may have been enqueued or not, and sending them again is safe');
    }
    logger.error({ err: error }, 'Redis refused a request that came by HTTP');
    throw unavailable(`Redis refused: ${(error as Error).message}`);
  }
}

function invalid({ problems }: InvalidJobError): HttpProblem {
  const told = problems.slice(0, MAX_PROBLEMS);
  const more = problems.length - told.length;
  const detail = `nothing was enqueued: ${told[0]}${problems.length > 1 ? `, and ${problems.length - 1} more` : ''}`;
  return new HttpProblem(400, detail, { problems: more > 0 ? [...told, `and ${more} more`] : told });
}

const unavailable = (detail: string) => new HttpProblem(503, detail, { headers: { 'retry-after': '2' } });

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
