import type { IncomingMessage } from 'node:http';
import type { HttpBindings } from '@hono/node-server';
import type { Context, Handler, Hono } from 'hono';
import type * as z from 'zod';
import { HttpProblem, methodNotAllowed } from './problem.js';

/** A request of Node's server comes along. */
export type AppEnv = { Bindings: HttpBindings };
export type App = Hono<AppEnv>;
/** The largest body: 1 MiB, which is a thousand jobs of 1 KB. */
const BODY_LIMIT = 1_048_576;

type Method = 'GET' | 'POST' | 'DELETE';

/** Adds a path. Other methods than those given are answered with what is allowed: 405 and not 404. */
export function route(app: App, path: string, handlers: Partial<Record<Method, Handler<AppEnv>>>): void {
  for (const [method, handler] of Object.entries(handlers)) app.on(method, path, handler);
  const methods = Object.keys(handlers).flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  app.all(path, () => {
    throw methodNotAllowed(methods);
  });
}

/**
 * Reads a JSON body. Only `application/json` is taken: a form of a web page can send text/plain without asking (CORS).
 *
 * @throws {HttpProblem}
 */
export async function jsonBody(c: Context<AppEnv>): Promise<unknown> {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new HttpProblem(415, 'the body must be sent with "Content-Type: application/json"');
  }
  if ((c.req.header('content-encoding') ?? 'identity').toLowerCase() !== 'identity') {
    throw new HttpProblem(415, 'the body must be sent without a Content-Encoding');
  }
  const text = await readBody(c.env.incoming);
  if (text.trim() === '') throw new HttpProblem(400, 'the body is empty; it must be a JSON object');
  try {
    return JSON.parse(text);
  } catch {
    throw new HttpProblem(400, 'the body is not valid JSON');
  }
}

/**
 * Reads a body, without a byte order mark, past the Fetch standard's streams, which would have to be told of its limit by
 * copying it.
 *
 * @throws {HttpProblem} if it has more than 1 MiB; the rest is not kept.
 */
export async function readBody(incoming: IncomingMessage): Promise<string> {
  const tooLarge = new HttpProblem(413, 'the body has more than 1 MiB; send fewer jobs at a time');
  if (Number(incoming.headers['content-length'] ?? 0) > BODY_LIMIT) throw tooLarge;
  return await new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    incoming.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= BODY_LIMIT) chunks.push(chunk);
      else reject(tooLarge);
    });
    incoming.once('end', () => resolve(new TextDecoder().decode(Buffer.concat(chunks))));
    incoming.once('error', reject);
    incoming.once('close', () => reject(new HttpProblem(400, 'the connection broke before the body had ended')));
  });
}

/** Each parameter that is given once as text, else as a list, which no schema takes. */
export function queryOf(c: Context<AppEnv>): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(c.req.queries()).map(([name, values]) => [name, values.length === 1 ? (values[0] ?? '') : values]),
  );
}

/**
 * Reads input by its schema.
 *
 * @throws {HttpProblem} naming each field that is invalid.
 */
export function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const problems = error.issues.map(({ path, message }) => `${path.join('.')} ${message}`);
  throw new HttpProblem(400, problems.join('; '));
}
