import * as z from 'zod';
import {
  enqueueAnswer,
  enqueueBody,
  eventsQuery,
  health,
  jobAnswer,
  jobPath,
  jobQuery,
  listAnswer,
  listQuery,
  MAX_JOBS,
  problem,
  readiness,
} from './schemas.js';

/** A schema of ours as JSON Schema, which OpenAPI 3.1 takes as it is. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    // Later versions add fields; a client that checks answers must let them pass.
    override: ({ jsonSchema }) => {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
  return rest;
}

const json = (description: string, schema: string) => ({
  description,
  content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } },
});
const wrong = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
});
const parameters = (place: 'path' | 'query', schema: z.ZodObject) =>
  Object.entries(schema.shape).map(([name, field]) => ({
    name,
    in: place,
    required: place === 'path',
    schema: jsonSchema(field, 'input'),
  }));
const otherOrigin = wrong('A web page of another origin has sent this.');
/** Needs no token. */
const open: never[] = [];

/** The description of our HTTP: OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1.html), by the schemas that check it. */
export function openapi(version: string): object {
  const fault = { 500: wrong('A fault of cfw-job-poller; its log says more.') };
  const guarded = {
    401: wrong('HTTP_TOKEN is set, and was not shown.'),
    421: wrong('HTTP_TOKEN is not set, and the Host header does not name loopback.'),
    ...fault,
    503: wrong('Redis is away or refuses. Trying again is safe.'),
  };
  return {
    openapi: '3.1.1',
    info: {
      title: 'cfw-job-poller',
      version,
      description:
        'Watches jobs of Huawei Cloud CFW to their end and publishes one event for each on a Redis stream. Other paths are ' +
        'answered with 404 and other methods with 405, both as a Problem. HEAD is answered wherever GET is.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }, { basic: [] }],
    paths: {
      '/v1/jobs': {
        get: {
          operationId: 'listJobs',
          summary:
            'Jobs: queued ones (newest first), then polling ones (by their next poll), then ended ones (newest first)',
          description:
            'Each page looks at a bounded number of jobs, so it may have fewer than `limit`, or none, and still a `next`. ' +
            'Ended jobs are listed as far as the stream reaches back.',
          parameters: parameters('query', listQuery),
          responses: { 200: json('A page.', 'ListAnswer'), 400: wrong('A parameter is invalid.'), ...guarded },
        },
        post: {
          operationId: 'enqueueJobs',
          summary: 'Hand in jobs',
          description:
            `One job, or up to ${MAX_JOBS} as {"jobs": […]}, in at most 1 MiB. All or none: if one is invalid, nothing is ` +
            'enqueued. A job that is known already is not enqueued again, so a request may be repeated.',
          parameters: [
            {
              name: 'traceparent',
              in: 'header',
              description:
                'W3C Trace Context, for jobs that name no trace of their own. It comes back in their events.',
              schema: { type: 'string' },
            },
          ],
          requestBody: {
            required: true,
            content: { 'application/json': { schema: { $ref: '#/components/schemas/EnqueueBody' } } },
          },
          responses: {
            202: json('In the queue, or ended before.', 'EnqueueAnswer'),
            400: wrong('Something is invalid; nothing was enqueued.'),
            403: otherOrigin,
            413: wrong('The body has more than 1 MiB.'),
            415: wrong('The body is not application/json, or is compressed.'),
            ...guarded,
          },
        },
      },
      '/v1/jobs/{projectId}/{jobId}': {
        get: {
          operationId: 'getJob',
          summary: 'Where a job stands',
          parameters: [
            ...parameters('path', jobPath),
            ...parameters('query', jobQuery),
            {
              name: 'Prefer',
              in: 'header',
              description:
                'wait=30 (RFC 7240) answers once the job has ended, else after so many seconds, at most 60, with where it ' +
                'stands. Preference-Applied says what was applied.',
              schema: { type: 'string' },
            },
          ],
          responses: {
            200: json('It is known.', 'JobAnswer'),
            400: wrong('An id is invalid.'),
            404: wrong('It is not known: never enqueued, or ended longer ago than EVENT_DEDUP_TTL.'),
            ...guarded,
          },
        },
        delete: {
          operationId: 'cancelJob',
          summary: 'Stop watching a job',
          description:
            'Its event is CANCELLED, unless it has ended before; the CFW job itself goes on. At most one more call goes out.',
          parameters: [...parameters('path', jobPath), ...parameters('query', jobQuery)],
          responses: {
            200: json('Where it stands now.', 'JobAnswer'),
            400: wrong('An id is invalid.'),
            403: otherOrigin,
            404: wrong('It is not known: never enqueued, or ended longer ago than EVENT_DEDUP_TTL.'),
            ...guarded,
          },
        },
      },
      '/v1/events': {
        get: {
          operationId: 'readEvents',
          summary: 'The events as they appear, as server-sent events',
          description:
            'The id of each is that of its stream entry, its name the type, its data the event as CloudEvents JSON. A comment ' +
            'comes every 15 s. A reader that takes nothing for 15 s is disconnected; it can go on behind Last-Event-ID.',
          parameters: [
            ...parameters('query', eventsQuery),
            {
              name: 'Last-Event-ID',
              in: 'header',
              description: 'Goes on behind this one, whatever `from` says.',
              schema: { type: 'string' },
            },
          ],
          responses: {
            200: { description: 'They follow.', content: { 'text/event-stream': { schema: { type: 'string' } } } },
            400: wrong('A parameter is invalid.'),
            ...guarded,
          },
        },
      },
      '/healthz': {
        get: {
          operationId: 'health',
          summary: 'Whether the process lives',
          security: open,
          responses: { 200: json('It does.', 'Health') },
        },
      },
      '/readyz': {
        get: {
          operationId: 'readiness',
          summary: 'Whether it can do its work',
          security: open,
          responses: {
            200: json('It can.', 'Readiness'),
            503: json('It cannot; each check says why.', 'Readiness'),
            ...fault,
          },
        },
      },
      '/metrics': {
        get: {
          operationId: 'metrics',
          summary: 'Metrics for Prometheus',
          security: open,
          responses: { 200: { description: 'Its text format.', content: { 'text/plain': {} } }, ...fault },
        },
      },
    },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'HTTP_TOKEN' },
        basic: { type: 'http', scheme: 'basic', description: 'Any user, and HTTP_TOKEN as the password' },
      },
      schemas: {
        EnqueueBody: jsonSchema(enqueueBody, 'input'),
        EnqueueAnswer: jsonSchema(enqueueAnswer, 'output'),
        JobAnswer: jsonSchema(jobAnswer, 'output'),
        ListAnswer: jsonSchema(listAnswer, 'output'),
        Health: jsonSchema(health, 'output'),
        Problem: jsonSchema(problem, 'output'),
        Readiness: jsonSchema(readiness, 'output'),
      },
    },
  };
}
