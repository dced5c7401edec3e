import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { expectAsDocumented } from './openapi.js';

/** An answer as it came over the wire. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for.
  readonly json: any;
}

/**
 * Asks a sidecar, with the path and the headers just as they are given: `fetch` would tidy paths up, and knows no `Host`. Each
 * answer is held to the OpenAPI document.
 */
export async function ask(
  base: string,
  path: string,
  { method = 'GET', headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: unknown } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(base);
  const json = body !== undefined && typeof body !== 'string';
  const given = await new Promise<Answer>((resolve, reject) => {
    const outgoing = request(
      {
        hostname,
        port,
        path,
        method,
        headers: { ...(json ? { 'content-type': 'application/json' } : {}), ...headers },
      },
      async (incoming) => {
        const answer = await text(incoming);
        let parsed: unknown;
        try {
          parsed = JSON.parse(answer);
        } catch {
          // Not everything is JSON.
        }
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text: answer, json: parsed });
      },
    );
    // A server may answer and close before it has read a body that is too long.
    outgoing.on('error', reject);
    outgoing.end(json ? JSON.stringify(body) : body);
  });
  const contentType = given.headers['content-type'] as string | undefined;
  expectAsDocumented({ method, path, status: given.status, contentType, text: given.text });
  return given;
}
