import Fastify, { type FastifyInstance, type HTTPMethods } from 'fastify';
import type { Secret } from '../../lib/secret.js';
import { VERSION } from '../../lib/version.js';
import type { Readiness } from '../health.js';
import { createGuard } from './auth.js';
import { DASHBOARD_URLS, type Dashboard, dashboardRoute } from './dashboard-route.js';
import { type JobsRouteOptions, jobsRoute } from './jobs.js';
import { answerWithProblems, HttpProblem, sendProblem } from './problem.js';

/** What the sidecar's HTTP needs. */
export interface HttpServerOptions extends JobsRouteOptions {
  /** Whoever asks must show it; none where only loopback is listened on. */
  readonly token: Secret | undefined;
  readonly readiness: () => Promise<Readiness>;
  /** The metrics as text, and its content type. */
  readonly metrics: () => Promise<{ text: string; contentType: string }>;
  /** Makes the dashboard, when it is first asked for. */
  readonly dashboard: () => Promise<Dashboard>;
  /** Whether the dashboard may do more than show. */
  readonly dashboardWritable: boolean;
}

/** The largest body: 1 MiB, which is a thousand jobs of 1 KB. */
const BODY_LIMIT = 1_048_576;

/** The sidecar's HTTP, not yet listening. */
export function createHttpServer(options: HttpServerOptions): FastifyInstance {
  const server = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT,
    // Idle connections of probes must not keep a process from ending.
    forceCloseConnections: true,
    // A client that sends its request byte by byte is let go.
    requestTimeout: 30_000,
    // Metadata is any JSON object and comes back untouched; nothing here merges objects.
    onProtoPoisoning: 'ignore',
    onConstructorPoisoning: 'ignore',
    // Ids that are too long are told by their schema.
    routerOptions: { maxParamLength: 1_000 },
    frameworkErrors: (error, _request, reply) => {
      void sendProblem(reply, new HttpProblem(400, error.message));
    },
  });
  // JSON only: a form of a web page can send text/plain without asking (CORS), but not this.
  server.removeContentTypeParser('text/plain');
  server.addHook('onRequest', createGuard(options.token));
  server.addHook('onSend', async (_request, reply) => {
    reply.headers({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
  });
  answerWithProblems(server, options.logger);

  // It answers where the event loop turns; that is all a liveness probe should ask for.
  server.get('/healthz', { config: { open: true } }, async () => ({ status: 'ok' }));
  server.get('/readyz', { config: { open: true } }, async (_request, reply) => {
    const state = await options.readiness();
    return reply.code(state.ready ? 200 : 503).send(state);
  });
  server.get('/metrics', { config: { open: true } }, async (_request, reply) => {
    const { text, contentType } = await options.metrics();
    return reply.type(contentType).send(text);
  });
  jobsRoute(server, options);
  const toDashboard: HTTPMethods[] = options.dashboardWritable ? ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] : ['GET'];
  dashboardRoute(server, toDashboard, options.dashboard);
  // Loaded when it is asked for, which is seldom.
  server.get('/openapi.json', async () => (await import('./openapi.js')).openapi(VERSION));

  refuseOtherMethods(server, {
    '/healthz': ['GET', 'HEAD'],
    '/readyz': ['GET', 'HEAD'],
    '/metrics': ['GET', 'HEAD'],
    '/openapi.json': ['GET', 'HEAD'],
    '/v1/jobs': ['POST'],
    '/v1/jobs/:projectId/:jobId': ['GET', 'HEAD'],
    ...Object.fromEntries(DASHBOARD_URLS.map((url) => [url, [...toDashboard, 'HEAD'] as const])),
  });
  return server;
}

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** A path that is there for another method is told as such: 405 and not 404. */
function refuseOtherMethods(server: FastifyInstance, routes: Readonly<Record<string, readonly HTTPMethods[]>>): void {
  for (const [url, allowed] of Object.entries(routes)) {
    server.route({
      url,
      method: METHODS.filter((method) => !allowed.includes(method)),
      exposeHeadRoute: false,
      // Before a body is read.
      onRequest: async () => {
        const allow = allowed.join(', ');
        throw new HttpProblem(405, `allowed here is ${allow}`, { headers: { allow } });
      },
      handler: () => {},
    });
  }
}
