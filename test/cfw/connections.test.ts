import dns from 'node:dns';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { CfwClient } from '../../src/cfw/client.js';
import type { Credential } from '../../src/cfw/credentials/credential.js';
import { iamCredential } from '../../src/cfw/credentials/iam.js';
import { tokenCredential } from '../../src/cfw/credentials/token.js';
import { createHttp } from '../../src/cfw/http.js';
import { Secret } from '../../src/lib/secret.js';
import { eventually } from '../support/eventually.js';
import { selfSigned } from '../support/self-signed.js';
import { useServers } from './servers.js';

const JOB = { projectId: 'project-1', jobId: 'job-1' };
const BODY = '{"data":{"status":"Running"}}';
const RUNNING = { kind: 'job', status: 'Running', beginTime: null, endTime: null };
const TIMED_OUT = { kind: 'transient', code: 'ETIMEDOUT', httpStatus: null };
const TOKEN = tokenCredential(new Secret('token'));
/** For tests in which the other side never answers; and longer than any call to another process of this machine takes. */
const SHORT_MS = 400;
const LONG_MS = 20_000;
/** For tests in which some calls are never answered and others are: a machine that stalls answers these in time all the same. */
const MIDDLE_MS = 1_800;

const servers = useServers();
const closers: (() => unknown)[] = [];
afterEach(() => {
  jest.restoreAllMocks();
  for (const close of closers.splice(0)) close();
});

interface Setting {
  readonly proxy?: string;
  readonly requestTimeoutMs?: number;
  readonly credential?: (http: ReturnType<typeof createHttp>['http']) => Credential;
}

function clientFor(endpoint: string, setting: Setting = {}): CfwClient {
  const { requestTimeoutMs = LONG_MS, proxy, credential = () => TOKEN } = setting;
  const { http, close } = createHttp({ requestTimeoutMs, proxy: proxy === undefined ? undefined : new Secret(proxy) });
  const client = new CfwClient({ endpoint, requestTimeoutMs, http, credential: credential(http) });
  closers.push(() => {
    client.close();
    close();
  });
  return client;
}

/** A TCP server that answers requests one by one, each on the connection it came on. */
async function rawServer(answer: (socket: Socket, request: { connection: number; nth: number; text: string }) => void) {
  const seen: { connection: number; nth: number }[] = [];
  let connections = 0;
  const port = await servers.tcp((socket) => {
    connections += 1;
    const connection = connections;
    let nth = 0;
    socket.on('data', (text) => {
      nth += 1;
      seen.push({ connection, nth });
      answer(socket, { connection, nth, text: String(text) });
    });
  });
  return { url: `http://127.0.0.1:${port}`, seen, connections: () => connections };
}

const reply = (socket: Socket, status = 200, body = BODY, type = 'application/json') =>
  socket.write(`HTTP/1.1 ${status} X\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);

/** A proxy; `answer` may take a CONNECT over from it. */
async function proxyServer(answer: (socket: Socket) => boolean) {
  const open = new Set<Socket>();
  const targets: (string | undefined)[] = [];
  const server = createHttpServer().on('connect', (request: IncomingMessage, socket: Socket) => {
    open.add(socket);
    targets.push(request.url);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
    if (answer(socket)) {
      // Node's server leaves its half of a connection open.
      socket.on('end', () => socket.destroy()).resume();
      return;
    }
    const { hostname, port } = new URL(`http://${request.url}`);
    const tunnel = connect(Number(port), hostname.replace(/^\[|\]$/g, ''), () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      tunnel.pipe(socket).pipe(tunnel);
    });
    tunnel.on('error', () => socket.destroy());
    socket.on('close', () => tunnel.destroy());
  });
  return { url: `http://127.0.0.1:${await servers.listen(server)}`, open, targets };
}

/** IAM behind the same HTTP settings as CFW. */
const iamAt = (authUrl: string): NonNullable<Setting['credential']> => {
  const user = { name: 'u', domain: { name: 'd' } };
  const identity = { method: 'password', user, password: new Secret('p') } as const;
  return (http) => iamCredential({ authUrl: `${authUrl}/v3`, identity }, http);
};
const issueToken = (socket: Socket) =>
  socket.write('HTTP/1.1 201 Created\r\nx-subject-token: tok\r\ncontent-length: 0\r\n\r\n');

describe('a proxy that stalls', () => {
  const STALLS: readonly [string, (socket: Socket) => unknown][] = [
    ['says nothing', () => {}],
    ['begins to answer', (socket) => socket.write('HTTP/1.1 200 OK\r\nx: ')],
    [
      'drips its answer',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const drip = setInterval(() => socket.write('X-Y: z\r\n'), 20);
        socket.on('close', () => clearInterval(drip));
      },
    ],
    ['gives interim answers only', (socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\n\r\n')],
    ['connects, and nothing comes', (socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n')],
  ];

  it.each(STALLS.flatMap(([what, stall]) => ['http', 'https'].map((scheme) => [scheme, what, stall] as const)))(
    'ends %s calls in time where it %s; its connections are closed',
    async (scheme, _what, stall) => {
      const proxy = await proxyServer((socket) => {
        stall(socket);
        return true;
      });
      const client = clientFor(`${scheme}://192.0.2.1`, { proxy: proxy.url, requestTimeoutMs: SHORT_MS });
      const answers = [await client.getJob(JOB), ...(await Promise.all([1, 2, 3].map(() => client.getJob(JOB))))];
      // Those that waited for the first one to prove the credential are withheld.
      for (const answer of answers) expect(answer).toMatchObject({ code: 'ETIMEDOUT', httpStatus: null });
      await eventually(() => proxy.open.size === 0, { what: 'the end of the connections' });
    },
  );

  it('is asked again by later calls, as soon as it works again', async () => {
    let isStalled = true;
    const proxy = await proxyServer(() => isStalled);
    const cfw = await rawServer((socket) => reply(socket));
    const client = clientFor(cfw.url, { proxy: proxy.url, requestTimeoutMs: MIDDLE_MS });
    expect(await client.getJob(JOB)).toMatchObject({ ...TIMED_OUT, message: /did not answer CONNECT within/ });
    isStalled = false;
    expect(await client.getJob(JOB)).toEqual(RUNNING);
  });

  it('ends the calls to IAM in time, and gets its token afterwards', async () => {
    let isStalled = true;
    const proxy = await proxyServer(() => isStalled);
    const cfw = await rawServer((socket, { text }) => (text.startsWith('POST') ? issueToken(socket) : reply(socket)));
    const client = clientFor(cfw.url, { proxy: proxy.url, requestTimeoutMs: SHORT_MS, credential: iamAt(cfw.url) });
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'withheld', code: 'ETIMEDOUT' });
    await eventually(() => proxy.open.size === 0, { what: 'the end of the connections' });
    isStalled = false;
    // IAM is not asked again for a second.
    await eventually(async () => (await client.getJob(JOB)).kind === 'job', { what: 'a token' });
  });

  it('does not keep what is being closed from ending', async () => {
    const proxy = await proxyServer(() => true);
    const { http, close } = createHttp({ requestTimeoutMs: LONG_MS, proxy: new Secret(proxy.url) });
    const call = http.get('http://192.0.2.1');
    await eventually(() => proxy.open.size === 1, { what: 'the CONNECT' });
    close();
    await expect(call).rejects.toMatchObject({ code: 'ABORTED' });
    await eventually(() => proxy.open.size === 0, { what: 'the end of the connection' });
  });
});

describe('a proxy', () => {
  it('is named by its status where it refuses', async () => {
    const proxy = await proxyServer((socket) => socket.end('HTTP/1.1 407 No\r\n\r\n') !== undefined);
    const client = clientFor('http://192.0.2.1', { proxy: proxy.url });
    expect(await client.getJob(JOB)).toMatchObject({
      kind: 'transient',
      code: 'PROXY_HTTP_407',
      httpStatus: null,
      message: /user and password/,
    });
  });

  it('may begin its answer with interim ones', async () => {
    const plain = Number(new URL((await rawServer((socket) => reply(socket))).url).port);
    const secure = await servers.listen(createTlsServer(selfSigned()));
    let target = plain;
    const proxy = await proxyServer((socket) => {
      const tunnel = connect(target, '127.0.0.1');
      tunnel.on('error', () => socket.destroy()).on('close', () => socket.destroy());
      socket.on('close', () => tunnel.destroy());
      // In pieces, so that the last answer does not come along with the first.
      socket.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hi');
      setTimeout(() => {
        socket.write('nts\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n');
        tunnel.pipe(socket).pipe(tunnel);
      }, 50);
      return true;
    });
    const client = clientFor('http://192.0.2.1', { proxy: proxy.url });
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    expect(proxy.targets).toHaveLength(1);
    target = secure;
    // It came as far as the certificate.
    expect(await clientFor('https://192.0.2.1', { proxy: proxy.url }).getJob(JOB)).toMatchObject({
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
  });

  it.each<readonly [string, string, object]>([
    ['a refusal', 'HTTP/1.1 407 No\r\n\r\n', { code: 'PROXY_HTTP_407' }],
    ['no HTTP', 'hello\r\n\r\n', { code: 'PROXY_MALFORMED' }],
    ['no end', 'x'.repeat(70_000), { code: 'PROXY_MALFORMED' }],
  ])('fails a call when an interim answer is followed by %s', async (_what, rest, failure) => {
    const proxy = await proxyServer((socket) => socket.write(`HTTP/1.1 100 Continue\r\n\r\n${rest}`) !== undefined);
    const client = clientFor('http://192.0.2.1', { proxy: proxy.url });
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'transient', httpStatus: null, ...failure });
    await eventually(() => proxy.open.size === 0, { what: 'the end of the connection' });
  });

  it('fails a call when it closes the connection after an interim answer', async () => {
    const proxy = await proxyServer((socket) => socket.end('HTTP/1.1 100 Continue\r\n\r\n') !== undefined);
    expect(await clientFor('http://192.0.2.1', { proxy: proxy.url }).getJob(JOB)).toMatchObject({
      code: 'PROXY_MALFORMED',
    });
  });

  it('is told an IPv6 address in brackets', async () => {
    const proxy = await proxyServer((socket) => socket.end('HTTP/1.1 502 No\r\n\r\n') !== undefined);
    await clientFor('http://[2001:db8::7]:81', { proxy: proxy.url }).getJob(JOB);
    await clientFor('http://cfw.example.test', { proxy: proxy.url }).getJob(JOB);
    expect(proxy.targets).toEqual(['[2001:db8::7]:81', 'cfw.example.test:80']);
  });
});

describe('a name that is not looked up in time', () => {
  it('ends the call', async () => {
    jest.spyOn(dns, 'lookup').mockImplementation((() => {}) as unknown as typeof dns.lookup);
    for (const proxy of [undefined, 'http://proxy.example.test:3128']) {
      const setting = { requestTimeoutMs: SHORT_MS, ...(proxy === undefined ? {} : { proxy }) };
      expect(await clientFor('http://cfw.example.test', setting).getJob(JOB)).toMatchObject(TIMED_OUT);
    }
  });
});

describe('another side that switches protocols without being asked', () => {
  it('costs a failed call, and its connection is closed', async () => {
    const open = new Set<Socket>();
    const cfw = await rawServer((socket) => {
      open.add(socket.on('close', () => open.delete(socket)));
      socket.write('HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
    });
    const client = clientFor(cfw.url);
    for (let n = 0; n < 3; n += 1)
      expect(await client.getJob(JOB)).toMatchObject({ kind: 'transient', code: 'HTTP_101' });
    await eventually(() => open.size === 0, { what: 'the end of the connections' });
  });
});

describe('more calls than there are connections', () => {
  it('end in time too where the other side is silent', async () => {
    let isSilent = false;
    const cfw = await rawServer((socket) => isSilent || reply(socket));
    const client = clientFor(cfw.url, { requestTimeoutMs: MIDDLE_MS });
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    isSilent = true;
    const answers = await Promise.all(Array.from({ length: 300 }, () => client.getJob(JOB)));
    for (const answer of answers) expect(answer).toMatchObject(TIMED_OUT);
  });
});

describe('a kept connection that the other side has closed', () => {
  it.each<readonly [string, (socket: Socket) => unknown]>([
    ['a reset', (socket) => socket.resetAndDestroy()],
    ['an end', (socket) => socket.end()],
    ['a 408 that was on its way', (socket) => reply(socket, 408, '')],
  ])('costs no failed call: %s', async (_what, close) => {
    const cfw = await rawServer((socket, { nth }) => (nth > 1 ? close(socket) : reply(socket)));
    const client = clientFor(cfw.url);
    for (let n = 0; n < 3; n += 1) expect(await client.getJob(JOB)).toEqual(RUNNING);
    // Many at the same time get a new connection each, not one that another call has just left.
    const answers = await Promise.all(Array.from({ length: 40 }, () => client.getJob(JOB)));
    expect(answers).toEqual(Array(40).fill(RUNNING));
  });

  it('costs IAM no failed call either', async () => {
    const cfw = await rawServer((socket) => reply(socket));
    const iam = await rawServer((socket, { nth }) => (nth > 1 ? socket.resetAndDestroy() : issueToken(socket)));
    const client = clientFor(cfw.url, { credential: iamAt(iam.url) });
    // A token for each project.
    for (const projectId of ['a', 'b', 'c']) expect(await client.getJob({ ...JOB, projectId })).toEqual(RUNNING);
    expect(iam.seen.map(({ nth }) => nth)).toEqual([1, 2, 1, 1]);
  });

  it('is tried once more only, and a new connection not at all', async () => {
    let isBroken = false;
    const cfw = await rawServer((socket) => (isBroken ? socket.resetAndDestroy() : reply(socket)));
    const client = clientFor(cfw.url);
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    isBroken = true;
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'transient', code: 'ECONNRESET' });
    expect(cfw.seen).toHaveLength(3);
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'transient', code: 'ECONNRESET' });
    expect(cfw.seen).toHaveLength(4);
  });

  it('is not tried again where a part of an answer has come', async () => {
    const cfw = await rawServer((socket, { nth }) => {
      if (nth === 1) reply(socket);
      else socket.write('HTTP/1.1 200 OK\r\ncontent-', () => setTimeout(() => socket.resetAndDestroy(), 50));
    });
    const client = clientFor(cfw.url);
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'transient', httpStatus: null });
    expect(cfw.seen).toHaveLength(2);
  });

  it('gets no more time for both attempts than for one', async () => {
    const cfw = await rawServer((socket, { connection, nth }) => {
      if (connection > 1) return;
      if (nth === 1) reply(socket);
      else setTimeout(() => socket.resetAndDestroy(), 2_000);
    });
    const client = clientFor(cfw.url, { requestTimeoutMs: 4_000 });
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    const begunAt = performance.now();
    expect(await client.getJob(JOB)).toMatchObject(TIMED_OUT);
    expect(performance.now() - begunAt).toBeLessThan(5_900);
    expect(cfw.connections()).toBe(2);
  });
});

describe('a kept connection that leads to a side that was left', () => {
  const ask = async (client: CfwClient, times: number) => {
    const kinds: string[] = [];
    for (let n = 0; n < times; n += 1) kinds.push((await client.getJob(JOB)).kind);
    return kinds;
  };

  it.each<readonly [string, (socket: Socket) => unknown, string]>([
    ['a 503', (socket) => reply(socket, 503, '{}'), 'transient'],
    ['a 404', (socket) => reply(socket, 404, '{}'), 'not-found'],
    ['an error page', (socket) => reply(socket, 200, '<html>', 'text/html'), 'transient'],
  ])('is given up after three failures in a row: %s', async (_what, fail, kind) => {
    const cfw = await rawServer((socket, { connection, nth }) =>
      connection === 1 && nth > 1 ? fail(socket) : reply(socket),
    );
    const client = clientFor(cfw.url);
    expect(await ask(client, 1)).toEqual(['job']);
    // A connection that is younger than a second is not to blame.
    await sleep(1_100);
    expect(await ask(client, 5)).toEqual([kind, kind, kind, 'job', 'job']);
    expect(cfw.connections()).toBe(2);
  });

  it('is kept where calls are throttled, or fail now and then', async () => {
    const statuses = [200, 429, 429, 429, 503, 503, 200, 503, 503, 200];
    const cfw = await rawServer((socket) => reply(socket, statuses.shift(), BODY));
    const client = clientFor(cfw.url);
    await ask(client, 1);
    await sleep(1_100);
    await ask(client, 9);
    expect(cfw.connections()).toBe(1);
  });

  it('takes the other connections with it when a call times out', async () => {
    let leftAt = Number.POSITIVE_INFINITY;
    const cfw = await rawServer((socket, { connection }) => {
      // All of the first ones are busy at the same time.
      if (connection <= leftAt) setTimeout(() => leftAt === Number.POSITIVE_INFINITY && reply(socket), 100);
      else reply(socket);
    });
    const client = clientFor(cfw.url, { requestTimeoutMs: MIDDLE_MS });
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    await Promise.all(Array.from({ length: 5 }, () => client.getJob(JOB)));
    leftAt = cfw.connections();
    expect(leftAt).toBe(5);
    expect(await client.getJob(JOB)).toMatchObject(TIMED_OUT);
    expect(await client.getJob(JOB)).toEqual(RUNNING);
  });

  it('is left behind after 5 minutes, whether it has something to do or not', async () => {
    const later = setTimeout;
    /** What happens to each connection after 5 minutes. */
    const grownOld: (() => void)[] = [];
    jest.spyOn(globalThis, 'setTimeout').mockImplementation(((run: () => void, ms: number, ...args: []) => {
      if (ms === 300_000) grownOld.push(run);
      return later(run, ms, ...args);
    }) as typeof setTimeout);
    const cfw = await rawServer((socket, { connection, nth }) => {
      if (connection === 2 && nth === 2) grownOld[1]?.();
      reply(socket);
    });
    const client = clientFor(cfw.url);
    expect(await ask(client, 2)).toEqual(['job', 'job']);
    expect(cfw.connections()).toBe(1);
    // Idle.
    grownOld[0]?.();
    expect(await ask(client, 1)).toEqual(['job']);
    expect(cfw.connections()).toBe(2);
    // Busy: the call comes through, and the next one goes elsewhere.
    expect(await ask(client, 2)).toEqual(['job', 'job']);
    expect(cfw.connections()).toBe(3);
  });
});
