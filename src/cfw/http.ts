import http from 'node:http';
import https from 'node:https';
import got, { type CancelableRequest, type Got, type RequestFunction } from 'got';
import type { Secret } from '../lib/secret.js';
import { Connections } from './connections.js';

/** Tokens of the vendor's IAM can be longer than Node's 16 KiB for all headers. */
const MAX_HEADER_BYTES = 65_536;
/** Connecting (through a proxy: with CONNECT and TLS), and the TLS handshake, may each take this long at the most. */
const MAX_CONNECT_MS = 5_000;
/** An answer of more bytes than this, decompressed, is cut off by got's `CancelError`: the real ones have about 200. */
export const MAX_BODY_BYTES = 1_000_000;

/** Makes HTTP calls; what got is, set up by {@link createHttp}. */
export type HttpClient = Got;

/** What calls to one host need. */
export interface HttpOptions {
  /** Bound of one call in milliseconds, connecting included. */
  readonly requestTimeoutMs: number;
  /** An HTTP proxy to go through. */
  readonly proxy: Secret | undefined;
  /** Authorities to trust in place of Node's, in PEM. */
  readonly ca?: string | undefined;
}

/**
 * got, set up for the calls to one host of the cloud: one attempt (the schedule decides about further ones), no redirects,
 * bounded in every way, over connections that are kept. Only a call that failed because its kept connection had been closed
 * is made once more at once, on a new one.
 */
export function createHttp({ requestTimeoutMs, proxy, ca }: HttpOptions): { http: Got; close: () => void } {
  const connectMs = Math.min(MAX_CONNECT_MS, requestTimeoutMs);
  const connections = new Connections({ proxy: proxy?.reveal(), connectTimeoutMs: connectMs, ca });

  /**
   * What got does by itself, with only those options that are set below; others that got knows have no effect. It would hand
   * over thirty, most of TLS and undefined, and Node copies them twice for each call. Tracing replaces `request`, so it is
   * looked up.
   */
  const request: RequestFunction = (url, { agent, headers, maxHeaderSize, method, setHost }, onResponse) => {
    const { request: send } = url.protocol === 'https:' ? https : http;
    const call = send(url, { agent, headers, maxHeaderSize, method, setHost }, onResponse);
    connections.watch(call);
    // got hands this event on, so Node leaves the connection to us: nothing else would close it, or end the call.
    call.once('upgrade', (_response, socket) => {
      socket.destroy();
      call.emit('error', Object.assign(new Error('the other side switched protocols'), { code: 'HTTP_101' }));
    });
    return call;
  };

  const client = got.extend({
    agent: connections.kept,
    headers: {
      accept: 'application/json',
      // Gateways compress without being asked; if that is refused, most do not.
      'accept-encoding': 'identity',
      // CFW allows no other Content-Type, on a GET too.
      'content-type': 'application/json',
      'user-agent': 'cfw-job-poller',
    },
    timeout: { lookup: connectMs, connect: connectMs, secureConnect: connectMs, request: requestTimeoutMs },
    retry: {
      limit: 1,
      calculateDelay: ({ attemptCount, error }) => (attemptCount === 1 && connections.isStale(error) ? 1 : 0),
    },
    hooks: {
      beforeRetry: [
        ({ options, timings }) => {
          options.agent = connections.fresh;
          // Both attempts together take no longer than one may.
          const leftMs = requestTimeoutMs - (Date.now() - (timings?.start ?? Date.now()));
          options.timeout = { request: Math.min(Math.max(leftMs, 1), requestTimeoutMs) };
        },
      ],
      beforeError: [
        (error) => {
          // Others may lead to the same side, which is not there any more: found out one by one, each would cost a call.
          if (error.code === 'ETIMEDOUT' && connections.isReused(error)) connections.renew();
          return error;
        },
      ],
    },
    handlers: [
      (options, next) => {
        const result = next(options);
        const call = result as CancelableRequest;
        call.on('downloadProgress', ({ transferred }) => {
          if (transferred > MAX_BODY_BYTES) call.cancel();
        });
        return result;
      },
    ],
    // A token must not travel to another host.
    followRedirect: false,
    throwHttpErrors: false,
    decompress: true,
    maxHeaderSize: MAX_HEADER_BYTES,
    responseType: 'text',
    request,
  });
  return { http: client, close: () => connections.close() };
}
