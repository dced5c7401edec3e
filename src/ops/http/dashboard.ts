import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import { Queue } from 'bullmq';
import Fastify from 'fastify';
import { parseProgress } from '../../queue/index.js';
import type { RedisClient } from '../../redis/index.js';
import { DASHBOARD_PATH, type Dashboard } from './dashboard-route.js';

/** What the dashboard shows, and whether it may do more than that. */
export interface DashboardOptions {
  readonly redis: RedisClient;
  readonly queueName: string;
  readonly queuePrefix: string;
  /** Whether jobs may be retried, changed and removed in it; a job that is removed gets no event. */
  readonly writable: boolean;
}

/** The dashboard's own code is all that a page may load and run. Its styles are in part inline. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

/** bull-board's page links fonts of another host; without them it uses the system's. */
const FONT_LINK = /<link href="https:\/\/fonts\.[^>]*>/g;

/**
 * The queue in a browser, by bull-board. It is a server of its own that gets requests handed over, so that all of this is
 * loaded when somebody looks at it, and not with every sidecar.
 */
export async function createDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { redis, queueName, queuePrefix, writable } = options;
  const queue = new Queue(queueName, { connection: redis, prefix: queuePrefix });
  queue.on('error', () => {});
  const adapter = new BullMQAdapter(queue, {
    readOnlyMode: !writable,
    description: 'CFW jobs; "delayed" ones are parked until their next poll',
  });
  adapter.setFormatter('name', nameOf);

  const server = Fastify({ logger: false });
  server.addHook('onSend', async (_request, reply, payload) => {
    reply.headers({
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    });
    const isPage = String(reply.getHeader('content-type')).startsWith('text/html') && typeof payload === 'string';
    return isPage ? payload.replace(FONT_LINK, '') : payload;
  });
  const serverAdapter = new FastifyAdapter();
  createBullBoard({
    queues: [adapter],
    serverAdapter,
    options: { uiConfig: { boardTitle: 'cfw-job-poller', hideRedisDetails: true } },
  });
  serverAdapter.setBasePath(DASHBOARD_PATH);
  await server.register(serverAdapter.registerPlugin(), { prefix: DASHBOARD_PATH });
  await server.ready();
  return {
    handle: (request, response) => server.routing(request, response),
    close: async () => {
      await server.close();
      await queue.close();
    },
  };
}

/** What a job is called there: its ids, where it stands, and what CFW last said. */
function nameOf(job: { data?: unknown; progress?: unknown; returnvalue?: unknown; processedOn?: unknown }): string {
  const { projectId, jobId, watchId } = (job.data ?? {}) as Record<string, unknown>;
  const progress = parseProgress(job.progress)?.history;
  const ids = [projectId, jobId, watchId].filter((id) => typeof id === 'string').join('/');
  const { status } = (job.returnvalue ?? {}) as { status?: unknown };
  const state = typeof status === 'string' ? status : job.processedOn == null ? 'queued' : 'polling';
  const polls = progress === undefined ? '' : `, ${progress.polls} polls`;
  const answer = progress?.lastError?.code ?? progress?.cfwStatus;
  return `${ids}: ${state}${polls}${answer == null ? '' : `, last answer ${answer}`}`;
}
