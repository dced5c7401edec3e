import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance, HTTPMethods } from 'fastify';

/** Where the dashboard is. */
export const DASHBOARD_PATH = '/dashboard';

/** The dashboard, once somebody has asked for it. */
export interface Dashboard {
  handle(request: IncomingMessage, response: ServerResponse): void;
  close(): Promise<void>;
}

/** The dashboard's paths. */
export const DASHBOARD_URLS = [DASHBOARD_PATH, `${DASHBOARD_PATH}/*`] as const;

/**
 * Hands requests for the dashboard over to it, once they are past the guard. It is made when it is first asked for.
 *
 * @param methods what gets through; what only reads does so by GET.
 */
export function dashboardRoute(
  server: FastifyInstance,
  methods: HTTPMethods[],
  create: () => Promise<Dashboard>,
): void {
  let dashboard: Promise<Dashboard> | undefined;
  for (const url of DASHBOARD_URLS) {
    server.route({
      url,
      method: methods,
      // Before a body is read: that is the dashboard's to do.
      onRequest: async (request, reply) => {
        dashboard ??= create();
        const { handle } = await dashboard;
        reply.hijack();
        handle(request.raw, reply.raw);
      },
      handler: () => {},
    });
  }
  server.addHook('onClose', async () => {
    await (await dashboard)?.close();
  });
}
