import Fastify, { type FastifyInstance } from 'fastify';

/** The sidecar's HTTP. */
export function createHttpServer(): FastifyInstance {
  const server = Fastify({ logger: false });
  // It answers where the event loop turns; that is all a liveness probe should ask for.
  server.get('/healthz', async () => ({ status: 'ok' }));
  return server;
}
