import http from 'node:http';
import https from 'node:https';
import got, { type Got, type RequestFunction } from 'got';
import { HttpProxyAgent, HttpsProxyAgent } from 'hpagent';
import type { Secret } from '../lib/secret.js';

/** Tokens of the vendor's IAM can be longer than Node's 16 KiB for all headers. */
const MAX_HEADER_BYTES = 65_536;
/** Connections to one host at the most; calls beyond that wait for one within their timeout. */
const MAX_SOCKETS = 256;
/** Connecting, and the TLS handshake after it, may each take this long at the most. */
const MAX_CONNECT_MS = 5_000;

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
 * bounded in every way, over connections that are kept.
 */
export function createHttp({ requestTimeoutMs, proxy, ca }: HttpOptions): { http: Got; close: () => void } {
  const pool = { keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_SOCKETS };
  // Else NODE_TLS_REJECT_UNAUTHORIZED=0 would give our credentials to anybody.
  const verified = { ...pool, rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) };
  const agents =
    proxy === undefined
      ? { http: new http.Agent(pool), https: new https.Agent(verified) }
      : {
          http: new HttpProxyAgent({ ...pool, proxy: proxy.reveal() }),
          https: new HttpsProxyAgent({ ...verified, proxy: proxy.reveal() }),
        };
  const connectMs = Math.min(MAX_CONNECT_MS, requestTimeoutMs);
  const client = got.extend({
    agent: agents,
    // CFW allows no other Content-Type, on a GET too.
    headers: { accept: 'application/json', 'content-type': 'application/json', 'user-agent': 'cfw-job-poller' },
    timeout: { lookup: connectMs, connect: connectMs, secureConnect: connectMs, request: requestTimeoutMs },
    retry: { limit: 0 },
    // A token must not travel to another host.
    followRedirect: false,
    throwHttpErrors: false,
    // Nothing is asked for compressed, so a small answer cannot turn out large.
    decompress: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    responseType: 'text',
    request,
  });
  return {
    http: client,
    close: () => {
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

/**
 * What got does by itself, with only those options that are set above; others that got knows have no effect. It would hand over
 * thirty, most of TLS and undefined, and Node copies them twice for each call. Tracing replaces `request`, so it is looked up.
 */
const request: RequestFunction = (url, { agent, headers, maxHeaderSize, method, setHost }, onResponse) => {
  const { request: send } = url.protocol === 'https:' ? https : http;
  return send(url, { agent, headers, maxHeaderSize, method, setHost }, onResponse);
};
