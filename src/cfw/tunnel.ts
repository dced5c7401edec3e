import http, { type ClientRequest } from 'node:http';
import https from 'node:https';
import { isIPv6, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** What a tunnel through a proxy leads to. */
export interface TunnelOptions {
  /** An http or https URL, user and password percent-encoded. */
  readonly proxy: string;
  readonly host: string;
  readonly port: number | string;
  /** Bound of everything until the tunnel can be used, in milliseconds. */
  readonly timeoutMs: number;
  /** Does the TLS handshake with the host through the tunnel; absent for plain http. */
  readonly secure?: (socket: Socket) => Duplex;
}

/** There is no way through the proxy. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: string;

  constructor(code: string, message: string, cause?: Error) {
    super(message, { cause });
    this.code = code;
  }
}

/**
 * Opens a tunnel by CONNECT. The whole of it is bounded here, since Node ends a request that still waits for its
 * connection only once the agent has one, or an error, for it: a proxy that never answers would hold it for ever.
 *
 * @param onEnd gets the connection or the error, once; all sockets of a tunnel that failed are closed by then.
 * @returns how to give it up.
 */
export function openTunnel(options: TunnelOptions, onEnd: (error: Error | null, tunnel?: Duplex) => void): () => void {
  const { host, timeoutMs, secure } = options;
  const request = connectRequest(options);
  let stage = 'the proxy did not answer CONNECT';
  let opened: Duplex | undefined;
  let ended = false;

  const end = (error: Error | null) => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    if (error === null) return onEnd(null, opened);
    request.destroy();
    opened?.destroy();
    onEnd(error);
  };
  const timer = setTimeout(() => end(new ProxyError('ETIMEDOUT', `${stage} within ${timeoutMs} ms`)), timeoutMs);

  const onAnswer = (statusCode: number, socket: Socket, head: Buffer) => {
    if (ended) return;
    if (statusCode < 200 || statusCode > 299) {
      const hint = statusCode === 407 ? '; check user and password of the proxy' : '';
      return end(
        new ProxyError(`PROXY_HTTP_${statusCode}`, `the proxy refused CONNECT with HTTP ${statusCode}${hint}`),
      );
    }
    if (head.length > 0) socket.unshift(head);
    socket.setNoDelay(true);
    if (secure === undefined) return end(null);
    stage = `${host} did not answer the TLS handshake through the proxy`;
    const secured = secure(socket);
    opened = secured;
    const closed = () => end(new ProxyError('ECONNRESET', `${host} closed the connection during the TLS handshake`));
    // It stays for as long as the connection does: an error without a listener would end the process.
    secured.on('error', end).once('close', closed);
    secured.once('secureConnect', () => {
      secured.off('close', closed);
      end(null);
    });
  };
  request.once('connect', ({ statusCode = 0 }, socket: Socket, head: Buffer) => {
    opened = socket;
    if (ended) return socket.destroy();
    if (!isInterim(statusCode)) return onAnswer(statusCode, socket, head);
    readFinalAnswer(socket, head, onAnswer, () =>
      end(new ProxyError('PROXY_MALFORMED', 'the proxy gave no final answer to CONNECT')),
    );
  });
  request.on('error', (error: NodeJS.ErrnoException) => {
    end(new ProxyError(error.code ?? 'EPROXY', `the proxy cannot be reached: ${error.message}`, error));
  });
  request.end();
  return () => end(new ProxyError('ABORTED', 'the connection through the proxy was given up'));
}

/** Another answer follows (RFC 9110, 15.2). One that switches protocols is the last. */
const isInterim = (statusCode: number) => statusCode >= 100 && statusCode <= 199 && statusCode !== 101;

/** Headers of further answers to CONNECT have this many bytes at the most. */
const MAX_ANSWER_BYTES = 65_536;

/**
 * Reads what follows an interim answer to CONNECT: Node takes that for the last one, and leaves the rest to us.
 *
 * @param onProblem is called if the connection breaks, or what comes is no answer.
 */
function readFinalAnswer(
  socket: Socket,
  head: Buffer,
  onAnswer: (statusCode: number, socket: Socket, head: Buffer) => void,
  onProblem: () => void,
): void {
  let bytes = head;
  const read = () => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) return bytes.length > MAX_ANSWER_BYTES ? onProblem() : undefined;
      const statusCode = Number(/^HTTP\/1\.[01] (\d{3})/.exec(bytes.toString('latin1', 0, end))?.[1] ?? 0);
      bytes = bytes.subarray(end + 4);
      if (isInterim(statusCode)) continue;
      socket.off('readable', read).off('error', onProblem).off('close', onProblem);
      return statusCode === 0 ? onProblem() : onAnswer(statusCode, socket, bytes);
    }
  };
  socket.on('readable', read).on('error', onProblem).on('close', onProblem);
  read();
}

function connectRequest({ proxy, host, port }: TunnelOptions): ClientRequest {
  const { protocol, hostname, port: proxyPort, username, password } = new URL(proxy);
  const target = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const isSecure = protocol === 'https:';
  return (isSecure ? https : http).request({
    method: 'CONNECT',
    host: hostname.replace(/^\[|\]$/g, ''),
    port: proxyPort === '' ? (isSecure ? 443 : 80) : proxyPort,
    path: target,
    headers: {
      host: target,
      // A connection of its own asks to be closed, and there are proxies that do so with the tunnel.
      connection: 'keep-alive',
      ...(username === '' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` }),
    },
    agent: false,
    // Else NODE_TLS_REJECT_UNAUTHORIZED=0 would give the password to anybody.
    rejectUnauthorized: true,
  } as https.RequestOptions);
}
