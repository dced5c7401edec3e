/** An error as HTTP reports it: RFC 9457, `application/problem+json`. */
export interface Problem {
  /** The HTTP status says all there is to say about the kind of problem. */
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  /** What was wrong with this request, and what is allowed. */
  readonly detail: string;
  /** One line for each field that is invalid, if there are several. */
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

/** The content type of a problem. */
export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** Thrown by a route to answer with a problem. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  readonly status: number;
  readonly problems: readonly string[] | undefined;
  /** Headers of the answer; a list of values is sent as a header each. */
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

  /** The body of the answer. */
  toJSON(): Problem {
    const { status, message, problems } = this;
    return {
      type: 'about:blank',
      title: TITLES[status] ?? 'Error',
      status,
      detail: message,
      ...(problems === undefined ? {} : { problems }),
    };
  }
}

/** A path exists, but not for this method. */
export function methodNotAllowed(methods: readonly string[]): HttpProblem {
  const allow = methods.join(', ');
  return new HttpProblem(405, `allowed here is ${allow}`, { headers: { allow } });
}

/** Details of our own failures go to the log, not to the client. */
export const internalProblem = (): HttpProblem =>
  new HttpProblem(500, 'something went wrong here; the log has the details');
