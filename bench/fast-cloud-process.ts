/**
 * The cheapest CFW that answers, as a process of its own: every job runs for ever, but those named short-… end with their third
 * call. It logs when each call came, and which
 * sidecar made it: each is given a token of its own.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answer } from './processes.js';

/** A call: when it came, in epoch milliseconds by the monotonic clock, and the token it came with. */
interface Call {
  readonly at: number;
  readonly token: string;
}

/** Calls within some time. */
export interface CallLog {
  readonly times: readonly number[];
  readonly byToken: Readonly<Record<string, number>>;
}

let calls: Call[] = [];
let count = 0;
const polled = new Map<string, number>();
const SHORT_CALLS = 3;

const server = createServer((request, response) => {
  calls.push({ at: performance.timeOrigin + performance.now(), token: String(request.headers['x-auth-token']) });
  count += 1;
  const url = request.url ?? '';
  const id = url.slice(url.lastIndexOf('/') + 1);
  const calledFor = (polled.get(id) ?? 0) + 1;
  polled.set(id, calledFor);
  const status = id.startsWith('short-') && calledFor >= SHORT_CALLS ? 'Success' : 'Running';
  const body = `{"data":{"id":"${id}","status":"${status}","begin_time":1760000000000}}`;
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
});
// A connection that is closed while a call is on its way would look like a fault of the sidecar.
server.keepAliveTimeout = 0;
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

answer({
  url: () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  calls: () => count,
  polledJobs: () => polled.size,
  log: ({ from, to }: { from: number; to: number }): CallLog => {
    const within = calls.filter(({ at }) => at >= from && at < to);
    const byToken: Record<string, number> = {};
    for (const { token } of within) byToken[token] = (byToken[token] ?? 0) + 1;
    return { times: within.map(({ at }) => at), byToken };
  },
  /** Keeps the log short in long runs. */
  forget: () => {
    calls = [];
  },
});
