import Fastify, { type FastifyInstance } from 'fastify';
import type { Readiness } from './health.js';

/** The sidecar's HTTP. */
export function createHttpServer(readiness: () => Promise<Readiness>): FastifyInstance {
  // Idle connections of probes must not keep a process from ending.
  const server = Fastify({ logger: false, forceCloseConnections: true });
  // It answers where the event loop turns; that is all a liveness probe should ask for.
  server.get('/healthz', async () => ({ status: 'ok' }));
  server.get('/readyz', async (_request, reply) => {
    const state = await readiness();
    return reply.code(state.ready ? 200 : 503).send(state);
  });
  return server;
}
