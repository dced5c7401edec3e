import { readFileSync } from 'node:fs';
import type { Context } from 'hono';
import { parseDuration } from '../../../lib/duration.js';
import type { CfwJobRequest, CfwListedJob, JobPage } from '../../../queue/index.js';
import { inTime } from '../../in-time.js';
import { cancelJob, type JobsRouteOptions, jobOf, overRedis, unknownJob } from '../jobs.js';
import { HttpProblem } from '../problem.js';
import { type App, type AppEnv, checked, queryOf, readBody, route } from '../routes.js';
import { listQuery } from '../schemas.js';
import { confirmPage, jobPage } from './job-page.js';
import { jobsPage } from './jobs-page.js';
import { actionHref, type Html, jobHref } from './layout.js';
import { schedulePage } from './schedule-page.js';
import type { PageSources } from './sources.js';

/** What the page needs. */
export interface PageOptions extends JobsRouteOptions {
  /** Whether the page may enqueue and cancel. */
  readonly writable: boolean;
  /** Project of jobs that name none. */
  readonly projectId: string | undefined;
  readonly page: PageSources;
}

/** Our own files are all that a page may load and run; nothing may show it in a frame. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A list looks on for jobs for this long, in milliseconds; then the page says that there is more to look through. */
const LOOK_MS = 80;
/** What is shown beside the jobs must not hold them up. */
const OVERVIEW_MS = 1_000;

const FILES = [
  ['page.css', 'text/css; charset=utf-8'],
  ['page.js', 'text/javascript; charset=utf-8'],
  ['icon.svg', 'image/svg+xml'],
] as const;

/** The jobs in a browser. */
export function pageRoutes(app: App, options: PageOptions): void {
  const { producer, page, writable, projectId } = options;
  for (const [name, type] of FILES) {
    const text = readFileSync(new URL(name, import.meta.url), 'utf8');
    route(app, `/page/${name}`, { GET: (c) => c.body(text, 200, { 'content-type': type }) });
  }
  route(app, '/dashboard', { GET: (c) => c.redirect('/', 302) });

  route(app, '/', {
    GET: async (c) => {
      const given = Object.entries(queryOf(c)).filter(([, value]) => value !== '');
      const { cursor, ...query } = checked(listQuery, Object.fromEntries(given));
      const [{ jobs, next }, readiness, queue, events] = await Promise.all([
        overRedis(options, () => look(options, query, cursor)),
        page.readiness(),
        inTime(page.queue.read(), OVERVIEW_MS).catch(() => undefined),
        inTime(options.redis.xlen(options.eventStream), OVERVIEW_MS).catch(() => undefined),
      ]);
      const { limit: _, ...filter } = query;
      const shown = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
      const view = { filter: shown, jobs, next, isFirst: cursor === undefined, readiness, queue, events };
      return htmlAnswer(c, jobsPage({ ...view, sources: page, writable, projectId }));
    },
  });

  route(app, '/schedule', {
    GET: async (c) => htmlAnswer(c, schedulePage(await overRedis(options, () => page.schedule()))),
  });

  const find = async (c: Context<AppEnv>) => {
    const found = await overRedis(options, () => producer.status(jobOf(c)));
    if (found === undefined) throw unknownJob();
    return found;
  };
  route(app, '/jobs/:projectId/:jobId', { GET: async (c) => htmlAnswer(c, jobPage(await find(c), writable)) });
  if (writable) writeRoutes(app, options, find);
}

/** Each is asked about on a page of its own before it is done. */
function writeRoutes(app: App, options: PageOptions, find: (c: Context<AppEnv>) => Promise<CfwListedJob>): void {
  const { producer } = options;

  route(app, '/jobs', {
    POST: async (c) => {
      const form = await formOf(c);
      const job = requested(form);
      if (form.confirmed !== 'yes') {
        const text = `Job ${form.jobId} of project ${form.projectId} will be watched to its end.`;
        const fields = { ...form, confirmed: 'yes' };
        return htmlAnswer(c, confirmPage('Enqueue a job', text, '/jobs', 'Enqueue', '/', fields));
      }
      const enqueued = await overRedis(options, () => producer.enqueue(job));
      return c.redirect(jobHref(enqueued), 303);
    },
  });

  route(app, '/jobs/:projectId/:jobId/cancel', {
    GET: async (c) => {
      const job = await find(c);
      const text = `Job ${job.jobId} will no longer be watched; its event is CANCELLED. The job itself goes on at CFW.`;
      return htmlAnswer(
        c,
        confirmPage('Cancel a job', text, actionHref(job, 'cancel'), 'Cancel the job', jobHref(job)),
      );
    },
    POST: async (c) => {
      await formOf(c);
      return c.redirect(jobHref(await cancelJob(options, jobOf(c))), 303);
    },
  });

  route(app, '/jobs/:projectId/:jobId/again', {
    GET: async (c) => {
      const job = await find(c);
      const text = `Job ${job.jobId} will be watched once more, with an event of its own.`;
      return htmlAnswer(
        c,
        confirmPage('Watch a job again', text, actionHref(job, 'again'), 'Watch again', jobHref(job)),
      );
    },
    POST: async (c) => {
      await formOf(c);
      const { projectId, jobId } = jobOf(c);
      const metadata = (await find(c)).event?.data.metadata ?? undefined;
      const watchId = `again-${Date.now().toString(36)}`;
      const job = await overRedis(options, () => producer.enqueue({ projectId, jobId, watchId, metadata }));
      return c.redirect(jobHref(job), 303);
    },
  });
}

/** Goes on through short pages of the list, for a while. */
async function look(
  { producer }: PageOptions,
  query: Parameters<typeof producer.list>[0] & { limit: number },
  cursor: string | undefined,
): Promise<JobPage> {
  const until = Date.now() + LOOK_MS;
  const jobs: CfwListedJob[] = [];
  let next = cursor;
  do {
    const page = await producer.list({ ...query, limit: query.limit - jobs.length, cursor: next });
    jobs.push(...page.jobs);
    next = page.next ?? undefined;
  } while (next !== undefined && jobs.length < query.limit && Date.now() < until);
  return { jobs, next: next ?? null };
}

/**
 * The fields of a form of ours. Browsers say where a form comes from; one that does not say it is not taken.
 *
 * @throws {HttpProblem}
 */
async function formOf(c: Context<AppEnv>): Promise<Record<string, string>> {
  const { origin, 'sec-fetch-site': site } = c.env.incoming.headers;
  // The guard has rejected other origins.
  if (origin === undefined && site !== 'same-origin') {
    throw new HttpProblem(403, 'forms are taken from pages of this server only');
  }
  if (c.req.header('content-type')?.split(';')[0] !== 'application/x-www-form-urlencoded') {
    throw new HttpProblem(415, 'the body must be sent with "Content-Type: application/x-www-form-urlencoded"');
  }
  return Object.fromEntries(new URLSearchParams(await readBody(c.env.incoming)));
}

/** @throws {HttpProblem} if a field is invalid; ids are checked when the job is enqueued. */
function requested({ projectId, jobId, timeout = '', metadata = '' }: Record<string, string>): CfwJobRequest {
  const timeoutMs = timeout.trim() === '' ? undefined : parseDuration(timeout);
  if (timeout.trim() !== '' && timeoutMs === undefined) {
    throw new HttpProblem(400, `timeout "${timeout}" is invalid: expected a duration such as 30m`);
  }
  let parsed: Record<string, unknown> | undefined;
  try {
    parsed = metadata.trim() === '' ? undefined : JSON.parse(metadata);
  } catch {
    throw new HttpProblem(400, 'metadata is not valid JSON: expected a JSON object');
  }
  return { projectId, jobId: jobId as string, timeoutMs, metadata: parsed };
}

function htmlAnswer(c: Context<AppEnv>, page: Html): Response | Promise<Response> {
  c.header('content-security-policy', CONTENT_SECURITY_POLICY);
  // With less, browsers would not say where a form of ours comes from.
  c.header('referrer-policy', 'same-origin');
  return c.html(page);
}
