import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** A request as handlers get it. */
export interface SimulatorRequest<Params = Record<string, string>, Body = unknown> {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly host: string;
  readonly params: Params;
  readonly query: Readonly<Record<string, string>>;
  /** The JSON that was sent; null if there was none. */
  readonly body: Body;
  /** The body as it was sent, which signatures cover. */
  readonly rawBody: Buffer;
}

/** An answer in the making; what a handler returns is sent, unless it was sent before. */
export class SimulatorReply {
  readonly raw: ServerResponse;
  readonly request: Pick<SimulatorRequest, 'headers'>;
  #isSent = false;

  constructor(raw: ServerResponse, request: Pick<SimulatorRequest, 'headers'>) {
    this.raw = raw;
    this.request = request;
  }

  get isSent(): boolean {
    return this.#isSent;
  }

  code(status: number): this {
    this.raw.statusCode = status;
    return this;
  }

  header(name: string, value: string): this {
    this.raw.setHeader(name, value);
    return this;
  }

  type(type: string): this {
    return this.header('content-type', type);
  }

  send(body?: unknown): this {
    this.#isSent = true;
    if (body === undefined || body === null) this.raw.end();
    else if (typeof body === 'string' || Buffer.isBuffer(body)) this.raw.end(body);
    else {
      if (!this.raw.hasHeader('content-type')) this.type('application/json; charset=utf-8');
      this.raw.end(JSON.stringify(body));
    }
    return this;
  }

  /** The caller answers by itself, or not at all. */
  hijack(): void {
    this.#isSent = true;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: each handler knows what its path and its clients give it.
type Handler = (request: SimulatorRequest<any, any>, reply: SimulatorReply) => unknown;
type ErrorHandler = (error: Error & { statusCode?: number }, reply: SimulatorReply) => unknown;

interface Route {
  readonly method: string;
  readonly parts: readonly string[];
  readonly handler: Handler;
}

/** The least of an HTTP server that a stand-in needs, which can also break off in the middle of an answer. */
export class SimulatorServer {
  readonly #routes: Route[] = [];
  readonly #onError: ErrorHandler;
  readonly #server = createServer((request, response) => this.#answer(request, response));

  constructor(onError: ErrorHandler) {
    this.#onError = onError;
  }

  get = (path: string, handler: Handler) => this.#add('GET', path, handler);
  post = (path: string, handler: Handler) => this.#add('POST', path, handler);
  put = (path: string, handler: Handler) => this.#add('PUT', path, handler);
  delete = (path: string, handler: Handler) => this.#add('DELETE', path, handler);

  /** @returns its URL. */
  async listen({ host, port }: { host: string; port: number }): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen({ host, port }, resolve);
    });
    return `http://${host}:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #add(method: string, path: string, handler: Handler): void {
    this.#routes.push({ method, parts: path.split('/'), handler });
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/', headers } = incoming;
    const reply = new SimulatorReply(response, { headers });
    // Node sends no body with the answer to a HEAD.
    const found = this.#find(method === 'HEAD' ? 'GET' : method, url.split('?')[0] ?? '/');
    try {
      if (found === undefined) {
        incoming.resume();
        reply.code(404).send({ error_msg: `nothing here for ${method} ${url}` });
        return;
      }
      const rawBody = await buffer(incoming);
      const query = Object.fromEntries(new URL(url, 'http://localhost').searchParams);
      const asked = { method, url, headers, host: headers.host ?? '', params: found.params, query };
      const request = { ...asked, body: parsed(rawBody), rawBody };
      const answer = await found.handler(request, reply);
      if (!reply.isSent) reply.send(answer);
    } catch (error) {
      if (!reply.isSent) this.#onError(error as Error, reply);
    }
  }

  #find(method: string, path: string): { params: Record<string, string>; handler: Handler } | undefined {
    const given = path.split('/');
    for (const { method: own, parts, handler } of this.#routes) {
      if (own !== method || parts.length !== given.length) continue;
      const params: Record<string, string> = {};
      const fits = parts.every((part, n) => {
        if (!part.startsWith(':')) return part === given[n];
        params[part.slice(1)] = given[n] ?? '';
        return given[n] !== '';
      });
      if (fits) return { params, handler };
    }
    return undefined;
  }
}

function parsed(body: Buffer): unknown {
  try {
    return body.length === 0 ? null : JSON.parse(body.toString('utf8'));
  } catch (error) {
    const message = `the body is not valid JSON: ${(error as Error).message}`;
    throw Object.assign(new Error(message, { cause: error }), { statusCode: 400 });
  }
}
