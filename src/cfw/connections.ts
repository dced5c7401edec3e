import http, { type Agent, type ClientRequest, type ClientRequestArgs } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import type { RequestError } from 'got';
import { openTunnel } from './tunnel.js';

/** As it is documented; the types know no result. Asked when a connection has nothing to do; false closes it. */
interface Keeping {
  keepSocketAlive(socket: Duplex): boolean;
}

/** Connections to one host at the most; calls beyond that wait for one within their timeout. */
const MAX_SOCKETS = 256;
/** A connection is not used for longer, so that a changed DNS record or a drained gateway is followed. */
const MAX_AGE_MS = 300_000;
/** After this many failed calls in a row on one connection, the side that it leads to may have been left for another. */
const MAX_FAILURES = 3;
/** A younger connection is not to blame; so a gateway that is down is not also busied with handshakes. */
const MIN_BLAMED_AGE_MS = 1_000;

/** What is known of a connection. */
interface Connection {
  readonly since: number;
  /** Requests sent on it, and the bytes that had come in before the last of them. */
  requests: number;
  bytesBefore: number;
  /** Failed calls in a row. */
  failures: number;
  /** It takes no further request. */
  retired: boolean;
}

/** How to make connections. */
export interface ConnectionsOptions {
  /** URL of a proxy to go through. */
  readonly proxy: string | undefined;
  /** Bound for making one through the proxy, in milliseconds; direct ones are bounded by the request's own timeouts. */
  readonly connectTimeoutMs: number;
  /** Certificates to trust in place of the system's, as PEM. */
  readonly ca?: string | undefined;
}

/** An agent for each protocol, as got takes them. */
export interface Agents {
  readonly http: Agent;
  readonly https: https.Agent;
}

/** The connections to one host: kept between calls for as long as they serve, and no longer. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #connections = new WeakMap<Duplex, Connection>();
  /** Gives up a tunnel that is being opened. */
  readonly #opening = new Set<() => void>();
  /** Agents that keep connections, and agents that make a new one for each call. */
  readonly kept: Agents;
  readonly fresh: Agents;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.kept = this.#agents(true);
    this.fresh = this.#agents(false);
  }

  /** Follows a request through the connection that it gets. */
  watch(request: ClientRequest): void {
    request.once('socket', (socket) => {
      const connection = this.#connections.get(socket);
      if (connection === undefined) return;
      connection.requests += 1;
      connection.bytesBefore = socket.bytesRead;
    });
    request.once('response', ({ statusCode = 0, headers }) => {
      const connection = request.socket === null ? undefined : this.#connections.get(request.socket);
      if (connection === undefined) return;
      // A throttled call says that the other side is there. An error page may come with any status.
      const isServed = (statusCode < 300 || statusCode === 429) && !headers['content-type']?.startsWith('text/html');
      connection.failures = isServed ? 0 : connection.failures + 1;
      if (connection.failures >= MAX_FAILURES && Date.now() - connection.since >= MIN_BLAMED_AGE_MS) this.renew();
    });
  }

  /**
   * Whether a call failed only because the other side had closed a kept connection: nothing came back on it, so it is
   * safe to ask again on a new one. A 408 on a kept connection is what some servers send ahead of closing it.
   */
  isStale({ code, request, response }: RequestError): boolean {
    const socket = request?.socket;
    const connection = socket === undefined ? undefined : this.#connections.get(socket);
    if (connection === undefined || connection.requests < 2) return false;
    if (response !== undefined) return response.statusCode === 408;
    return CLOSED_CODES.has(code) && socket?.bytesRead === connection.bytesBefore;
  }

  /** Whether a call was on a connection that had served before. */
  isReused({ request }: RequestError): boolean {
    const connection = request?.socket === undefined ? undefined : this.#connections.get(request.socket);
    return connection !== undefined && connection.requests > 1;
  }

  /** No connection that is open now takes a further request. */
  renew(): void {
    for (const socket of this.#sockets('freeSockets')) socket.destroy();
    for (const socket of this.#sockets('sockets')) this.#retire(socket);
  }

  /** Closes all connections, also those that are being made. */
  close(): void {
    for (const giveUp of this.#opening) giveUp();
    for (const { http: plain, https: secure } of [this.kept, this.fresh]) {
      plain.destroy();
      secure.destroy();
    }
  }

  #agents(keepAlive: boolean): Agents {
    const options = { keepAlive, maxSockets: MAX_SOCKETS, maxFreeSockets: MAX_SOCKETS };
    const { ca } = this.#options;
    return {
      http: this.#prepared(new http.Agent(options), false),
      // Else NODE_TLS_REJECT_UNAUTHORIZED=0 would give our credentials to anybody.
      https: this.#prepared(
        new https.Agent({ ...options, rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) }),
        true,
      ),
    };
  }

  /** Changes how an agent makes and keeps connections. */
  #prepared<T extends Agent>(agent: T, isSecure: boolean): T {
    const keeping = agent as unknown as Keeping;
    const create = agent.createConnection.bind(agent);
    const keep = keeping.keepSocketAlive.bind(agent);
    keeping.keepSocketAlive = (socket) => this.#connections.get(socket)?.retired !== true && keep(socket);
    const { proxy, connectTimeoutMs: timeoutMs } = this.#options;
    if (proxy === undefined) {
      agent.createConnection = (options, callback) => {
        const socket = create(options, callback);
        if (socket != null) this.#add(socket);
        return socket;
      };
      return agent;
    }
    agent.createConnection = (options: ClientRequestArgs, callback = () => {}) => {
      const { host, port } = options as { host: string; port: number };
      const secure = isSecure ? { secure: (socket: Duplex) => create({ ...options, socket } as object) as Duplex } : {};
      const giveUp = openTunnel({ proxy, host, port, timeoutMs, ...secure }, (error, tunnel) => {
        this.#opening.delete(giveUp);
        if (tunnel !== undefined) this.#add(tunnel);
        callback(error, tunnel as Duplex);
      });
      this.#opening.add(giveUp);
      return undefined;
    };
    return agent;
  }

  #add(socket: Duplex): void {
    const connection = { since: Date.now(), requests: 0, bytesBefore: 0, failures: 0, retired: false };
    this.#connections.set(socket, connection);
    const old = setTimeout(() => {
      if (this.#sockets('freeSockets').includes(socket)) socket.destroy();
      else connection.retired = true;
    }, MAX_AGE_MS).unref();
    socket.once('close', () => clearTimeout(old));
  }

  #retire(socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.retired = true;
  }

  #sockets(state: 'sockets' | 'freeSockets'): Duplex[] {
    const { http: plain, https: secure } = this.kept;
    return [plain, secure].flatMap((agent) => Object.values(agent[state]).flatMap((sockets) => sockets ?? []));
  }
}

const CLOSED_CODES: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);
