import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import type { Logger } from '../logger.js';

/** An error as HTTP tells it: RFC 9457, `application/problem+json`. */
export interface Problem {
  /** The HTTP status says all there is to say about the kind of problem. */
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  /** What was wrong with this request, and what is allowed. */
  readonly detail: string;
  /** One line for each thing that does not fit, where there are several. */
  readonly problems?: readonly string[];
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  421: 'Misdirected Request',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** Thrown by a route or a hook to answer with a problem. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  readonly status: number;
  readonly problems: readonly string[] | undefined;
  readonly headers: Readonly<Record<string, string | string[]>>;

  constructor(
    status: number,
    detail: string,
    {
      problems,
      headers = {},
    }: { problems?: readonly string[]; headers?: Readonly<Record<string, string | string[]>> } = {},
  ) {
    super(detail);
    this.status = status;
    this.problems = problems;
    this.headers = headers;
  }
}

/** Fastify's own errors, in words that say what to mend. */
const MEND: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'the body must be sent with "Content-Type: application/json"',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'the body is empty; it must be a JSON object',
  FST_ERR_CTP_BODY_TOO_LARGE: 'the body has more than 1 MiB; send fewer jobs at a time',
  FST_ERR_BAD_URL: 'the path is not correctly percent-encoded',
};

/** Makes every error of a server a problem. Details of failures of our own go to the log, not to whoever asked. */
export function answerWithProblems(server: FastifyInstance, logger: Logger): void {
  server.setErrorHandler((error: FastifyError | HttpProblem, request, reply) => {
    if (error instanceof HttpProblem) return sendProblem(reply, error);
    const status = error.statusCode ?? 500;
    if (status < 500) return sendProblem(reply, new HttpProblem(status, MEND[error.code] ?? error.message));
    logger.error({ err: error, method: request.method, route: request.routeOptions.url }, 'a request failed');
    return sendProblem(reply, new HttpProblem(500, 'something went wrong here; the log tells what'));
  });
  server.setNotFoundHandler(({ method }, reply) =>
    sendProblem(reply, new HttpProblem(404, `there is nothing here for ${method}; /openapi.json lists what there is`)),
  );
}

/** Answers with a problem. */
export function sendProblem(reply: FastifyReply, { status, message, problems, headers }: HttpProblem): FastifyReply {
  const problem: Problem = {
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    detail: message,
    ...(problems === undefined ? {} : { problems }),
  };
  for (const [name, value] of Object.entries(headers)) reply.header(name, value);
  // As text, since fastify would put another content type on an object.
  return reply.code(status).type('application/problem+json').send(JSON.stringify(problem));
}
