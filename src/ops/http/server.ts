import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Readiness } from '../health.js';
import type { Logger } from '../logger.js';
import type { AppOptions } from './app.js';
import { HttpProblem, internalProblem, methodNotAllowed, PROBLEM_TYPE } from './problem.js';

/** What the sidecar's HTTP needs. */
export interface HttpServerOptions extends Omit<AppOptions, 'closing'> {
  readonly readiness: () => Promise<Readiness>;
  /** The metrics as text, and its content type. */
  readonly metrics: () => Promise<{ text: string; contentType: string }>;
  readonly logger: Logger;
}

/** The sidecar's HTTP. */
export interface HttpServer {
  /**
   * Starts to listen.
   *
   * @returns the URL, such as `http://127.0.0.1:8080`.
   * @throws if the port cannot be used.
   */
  listen(address: { host: string; port: number }): Promise<string>;
  /** Answers every request that waits for a job with where the job stands, and ends the event streams. */
  release(): void;
  /** Stops listening and closes all connections; requests under way get 1 s. */
  close(): Promise<void>;
}

/** A client that sends its request byte by byte is disconnected after this, in milliseconds. */
const REQUEST_MS = 30_000;
/** On closing, requests under way may take this long, in milliseconds. */
const CLOSE_MS = 1_000;

/** Connections that may come in the same moment: a thousand requests that wait for jobs, say. Linux allows as many. */
const BACKLOG = 4_096;

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

/**
 * The sidecar's HTTP, not yet listening.
 *
 * Probes and scrapes are answered here, without a token. Everything else is loaded with the first request for it, which
 * most sidecars never get: it would take a fifth of an idle sidecar's memory.
 */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { logger } = options;
  const closing = new AbortController();
  const open = openRoutes(options);
  let app: Promise<Listener> | undefined;
  const loadApp = async () => (await import('./app.js')).createApp({ ...options, closing: closing.signal });

  const server = createServer({ requestTimeout: REQUEST_MS }, async (request, response) => {
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('cache-control', 'no-store');
    try {
      const route = open[pathOf(request)];
      if (route === undefined) {
        app ??= loadApp();
        const listener = await app;
        await listener(request, response);
        return;
      }
      if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed(['GET', 'HEAD']);
      const { status = 200, type = 'application/json; charset=utf-8', body } = await route();
      send(request, response, status, type, body);
    } catch (error) {
      if (!(error instanceof HttpProblem)) logger.error({ err: error, method: request.method }, 'request failed');
      if (response.headersSent) {
        response.destroy();
        return;
      }
      const problem = error instanceof HttpProblem ? error : internalProblem();
      for (const [name, value] of Object.entries(problem.headers)) response.setHeader(name, value);
      send(request, response, problem.status, PROBLEM_TYPE, JSON.stringify(problem));
    }
  });

  return {
    async listen({ host, port }) {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port, backlog: BACKLOG }, resolve);
      });
      const { port: actual } = server.address() as AddressInfo;
      return `http://${host.includes(':') ? `[${host}]` : host}:${actual}`;
    },
    release: () => closing.abort(),
    async close() {
      closing.abort();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      const cut = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
      await closed;
      clearTimeout(cut);
    },
  };
}

interface OpenAnswer {
  readonly status?: number;
  readonly type?: string;
  readonly body: string;
}

/** Routes by their exact path. Probes and scrapers have no token. */
function openRoutes({
  readiness,
  metrics,
}: HttpServerOptions): Readonly<Record<string, (() => Promise<OpenAnswer>) | undefined>> {
  return {
    __proto__: null as never,
    // The event loop turns, or this would not be answered; a liveness probe should ask for no more.
    '/healthz': async () => ({ body: '{"status":"ok"}' }),
    '/readyz': async () => {
      const state = await readiness();
      return { status: state.ready ? 200 : 503, body: JSON.stringify(state) };
    },
    '/metrics': async () => {
      const { text, contentType } = await metrics();
      return { type: contentType, body: text };
    },
  };
}

function pathOf({ url = '/' }: IncomingMessage): string {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
}

function send(request: IncomingMessage, response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(request.method === 'HEAD' ? undefined : body);
  // Node closes the connection if the rest of a body is not read.
  if (!request.complete) request.resume();
}
