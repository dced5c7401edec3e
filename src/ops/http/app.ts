import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener, RequestError } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import type { Secret } from '../../lib/secret.js';
import { VERSION } from '../../lib/version.js';
import { guard } from './auth.js';
import { type EventsRouteOptions, eventsRoute } from './event-streams.js';
import { jobsRoutes } from './jobs.js';
import { type PageOptions, pageRoutes } from './page/routes.js';
import { HttpProblem, internalProblem, PROBLEM_TYPE } from './problem.js';
import { type App, type AppEnv, route } from './routes.js';

/** What the guarded routes need. */
export interface AppOptions extends EventsRouteOptions, PageOptions {
  /** Clients must show it; none if only loopback is listened on. */
  readonly token: Secret | undefined;
}

/** All routes but the open ones, as a listener of Node's server. */
export function createApp(options: AppOptions): (request: IncomingMessage, response: ServerResponse) => unknown {
  const app: App = new Hono<AppEnv>();
  app.onError((error, c) => {
    if (error instanceof HttpProblem) return problemResponse(c, error);
    options.logger.error({ err: error, method: c.req.method, path: c.req.routePath }, 'request failed');
    return problemResponse(c, internalProblem());
  });
  app.notFound((c) =>
    problemResponse(
      c,
      new HttpProblem(404, `there is nothing here for ${c.req.method}; /openapi.json lists what there is`),
    ),
  );
  app.use(async (c, next) => {
    guard(c.env.incoming, options.token);
    await next();
  });
  jobsRoutes(app, options);
  eventsRoute(app, options);
  pageRoutes(app, options);
  // Loaded when it is asked for, which is seldom.
  route(app, '/openapi.json', { GET: async (c) => c.json((await import('./openapi.js')).openapi(VERSION)) });

  return getRequestListener(app.fetch as never, {
    // A request without a Host header comes from HTTP/1.0; the guard sees that it has none.
    hostname: 'localhost',
    // The globals are not ours to replace.
    overrideGlobalObjects: false,
    errorHandler: (error) => {
      const problem = error instanceof RequestError ? new HttpProblem(400, error.message) : internalProblem();
      return new Response(JSON.stringify(problem), {
        status: problem.status,
        headers: { 'content-type': PROBLEM_TYPE },
      });
    },
  });
}

function problemResponse(c: Context<AppEnv>, problem: HttpProblem): Response {
  // Headers of the Fetch standard join several values to one header; Node sends a header each.
  for (const [name, value] of Object.entries(problem.headers)) c.env.outgoing.setHeader(name, value);
  return c.body(JSON.stringify(problem), problem.status as 400, { 'content-type': PROBLEM_TYPE });
}
