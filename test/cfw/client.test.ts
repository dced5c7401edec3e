import { getEventListeners } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, describe, expect, it, jest } from '@jest/globals';
import { CfwClient, type CfwClientOptions } from '../../src/cfw/client.js';
import type { Credential } from '../../src/cfw/credentials/credential.js';
import { iamCredential } from '../../src/cfw/credentials/iam.js';
import { akskCredential } from '../../src/cfw/credentials/keys.js';
import { tokenCredential } from '../../src/cfw/credentials/token.js';
import { createHttp } from '../../src/cfw/http.js';
import { Secret } from '../../src/lib/secret.js';
import type { FailedCall, PollAnswer } from '../../src/polling/index.js';
import { type Simulator, startSimulator } from '../../src/simulator/index.js';
import { eventually } from '../support/eventually.js';
import { selfSigned } from '../support/self-signed.js';
import { useServers } from './servers.js';

const TOKEN = 'MIIready-token';
const JOB = { projectId: 'project-1', jobId: 'job-1' };
const RUNNING = { kind: 'job', status: 'Running', beginTime: null, endTime: null };
/** For tests in which the other side never answers. */
const SHORT_MS = 300;

const servers = useServers();
const closers: (() => unknown)[] = [];
afterEach(async () => {
  jest.restoreAllMocks();
  for (const close of closers.splice(0).reverse()) await close();
});

interface Setting extends Partial<Pick<CfwClientOptions, 'credential' | 'onCredentialState' | 'requestTimeoutMs'>> {
  readonly proxy?: Secret;
}

function clientFor(endpoint: string, setting: Setting = {}): CfwClient {
  const { requestTimeoutMs = 20_000, proxy, credential = tokenCredential(new Secret(TOKEN)), ...others } = setting;
  const { http, close } = createHttp({ requestTimeoutMs, proxy });
  const client = new CfwClient({ endpoint, requestTimeoutMs, credential, http, ...others });
  closers.push(() => {
    client.close();
    close();
  });
  return client;
}

async function simulate(): Promise<Simulator> {
  const simulator = await startSimulator();
  closers.push(() => simulator.stop());
  simulator.addJob({ ...JOB, durationMs: 3_600_000, timeFormat: 'epoch', beginTime: 1_641_370_501_000 });
  return simulator;
}

function iamOf(
  authUrl: string,
  { iam }: Pick<Simulator, 'iam'>,
  password = new Secret(iam.password),
  requestTimeoutMs = 20_000,
) {
  const { http, close } = createHttp({ requestTimeoutMs, proxy: undefined });
  closers.push(close);
  const user = { name: iam.user, domain: { name: iam.domain } };
  return iamCredential({ authUrl, identity: { method: 'password', user, password } }, http);
}

async function failureOf(answer: Promise<PollAnswer>): Promise<FailedCall> {
  const settled = await answer;
  if (settled.kind === 'job') throw new Error('the call has not failed');
  return settled;
}

/** A CFW that keeps the requests it sees. */
async function ownCfw(answer: (request: IncomingMessage, response: ServerResponse) => unknown) {
  const requests: IncomingMessage[] = [];
  const url = await servers.http((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  return { url, requests };
}

const send = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) =>
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(typeof body === 'string' ? body : JSON.stringify(body));
const sendRunning = (_request: unknown, response: ServerResponse) =>
  send(response, 200, { data: { status: 'Running' } });
const refusal = (error_msg = 'Incorrect IAM authentication information') => ({ error_code: 'APIGW.0301', error_msg });

/** What a CFW with one fixed answer makes the client say. */
async function failureFrom(status: number, body: unknown, headers?: Record<string, string>): Promise<FailedCall> {
  const { url } = await ownCfw((_request, response) => send(response, status, body, headers));
  return await failureOf(clientFor(url).getJob(JOB));
}

describe('a call', () => {
  it('asks for the job of the project, as documented', async () => {
    const cfw = await ownCfw(sendRunning);
    expect(await clientFor(cfw.url).getJob(JOB)).toEqual(RUNNING);
    const [request] = cfw.requests;
    expect(request).toMatchObject({ method: 'GET', url: '/v3/project-1/jobs/job-1' });
    expect(request?.headersDistinct).toMatchObject({ 'content-type': ['application/json'], 'x-auth-token': [TOKEN] });
    expect(request?.headers).not.toHaveProperty('content-length');
    expect(request?.headers).not.toHaveProperty('transfer-encoding');
  });

  it('keeps the path of the endpoint', async () => {
    const cfw = await ownCfw(sendRunning);
    await clientFor(`${cfw.url}/gateway/cfw`).getJob(JOB);
    expect(cfw.requests[0]?.url).toBe('/gateway/cfw/v3/project-1/jobs/job-1');
  });

  it.each<readonly [string, (simulator: Simulator) => Credential]>([
    ['a ready token', ({ token }) => tokenCredential(new Secret(token))],
    [
      'a key',
      ({ key }) => akskCredential({ accessKey: new Secret(key.accessKey), secretKey: new Secret(key.secretKey) }),
    ],
    ['an IAM user', (simulator) => iamOf(`${simulator.url}/v3`, simulator)],
  ])('is taken by CFW with %s', async (_what, credentialOf) => {
    const simulator = await simulate();
    const client = clientFor(simulator.url, { credential: credentialOf(simulator) });
    expect(await client.getJob(JOB)).toEqual({ ...RUNNING, beginTime: '2022-01-05T08:15:01.000Z' });
    expect(client.credentialState.state).toBe('accepted');
  });

  it.each([
    '.',
    '..',
    '../..',
    'a/../../b',
    'a/b',
    '/',
    '//example.com',
    '\\..\\x',
    '%2e%2e',
    '%2F',
    'a?b=c',
    'a#b',
    'a;b',
    'a b',
    'a\r\nX: y',
    '\u0000',
    'ü',
    '@example.com',
    ':8080',
  ])('cannot be bent by the id %j', async (id) => {
    const cfw = await ownCfw(sendRunning);
    const client = clientFor(cfw.url);
    await client.getJob({ projectId: 'p', jobId: id });
    await client.getJob({ projectId: id, jobId: 'j' });
    // Not asking at all would be fine, too.
    for (const { url } of cfw.requests) expect(url).toMatch(/^\/v3\/[^/?#]+\/jobs\/[^/?#]+$/);
  });

  it('is no reason for others to wait for ever where its id cannot be written into a URL', async () => {
    const cfw = await ownCfw(sendRunning);
    const client = clientFor(cfw.url);
    await client.getJob({ projectId: 'p', jobId: '\ud800' }).catch(() => {});
    const waits = new Promise((resolve) => setTimeout(resolve, 5_000, 'waits').unref());
    expect(await Promise.race([client.getJob(JOB), waits])).toEqual(RUNNING);
  });
});

describe('an answer that is none of a job', () => {
  it.each<readonly [string, string]>([
    ['HTML', '<html><body>Welcome</body></html>'],
    ['empty', ''],
    ['truncated', '{"data":{"id":"job-1","sta'],
    ['garbage', '\u0000\u0007}{'],
    ['another object', '{"hello":"Welcome"}'],
    ['a job without a status', '{"data":{"id":"Welcome"}}'],
  ])('is transient where it is %s, and not repeated', async (_what, body) => {
    const failure = await failureFrom(200, body);
    expect(failure).toMatchObject({ kind: 'transient', code: 'MALFORMED_RESPONSE', httpStatus: 200 });
    expect(failure.message).not.toContain('Welcome');
  });

  it('is told by status and size where a gateway answers for CFW', async () => {
    const page = '<html><title>502 Bad Gateway</title></html>';
    expect(await failureFrom(502, page, { 'content-type': 'text/html; charset=utf-8' })).toEqual({
      kind: 'transient',
      code: 'HTTP_502',
      httpStatus: 502,
      message: `HTTP 502 with ${page.length} characters of text/html`,
    });
  });

  it('is told by its code and message where CFW says what is wrong', async () => {
    const body = { error_code: 'CFW.00100001', error_msg: 'System busy. Please try again later.' };
    expect(await failureFrom(400, body)).toEqual({
      kind: 'transient',
      code: 'CFW.00100001',
      httpStatus: 400,
      message: 'System busy. Please try again later.',
    });
  });

  it('is an error also with status 200', async () => {
    const body = { error_code: 'CFW.00200005', error_msg: 'The object does not exist.', data: { status: 'Success' } };
    expect(await failureFrom(200, body)).toMatchObject({ kind: 'not-found', code: 'CFW.00200005', httpStatus: 200 });
  });

  it('names the wait that the other side asks for', async () => {
    const throttled = { error_code: 'APIGW.0308', error_msg: 'user over ratelimit,limit:200,time:1 minute' };
    expect(await failureFrom(429, throttled)).toMatchObject({ kind: 'throttled', retryAfterMs: 60_000 });
    expect(await failureFrom(503, '', { 'retry-after': '7' })).toMatchObject({
      kind: 'transient',
      retryAfterMs: 7_000,
    });
  });

  it('is a redirect that nobody follows, since the token would travel along', async () => {
    const other = await ownCfw(sendRunning);
    for (const status of [301, 302, 307, 308]) {
      expect(await failureFrom(status, '', { location: `${other.url}/v3/project-1/jobs/job-1` })).toMatchObject({
        kind: 'transient',
        code: `HTTP_${status}`,
        httpStatus: status,
      });
    }
    expect(other.requests).toHaveLength(0);
  });
});

const COMPRESS = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync } as const;

describe('a body in the form that something on the way makes of it', () => {
  const text = JSON.stringify({ data: { status: 'Running', note: 'ü' } });
  const utf16 = (bom: string) => Buffer.from(`${bom}${text}`, 'utf16le');
  const asIt = (body: Buffer, headers: Record<string, string>) =>
    ownCfw((_request, response) => response.writeHead(200, headers).end(body));

  it.each<readonly [string, Buffer, Record<string, string>]>([
    ['gzip', gzipSync(text), { 'content-encoding': 'gzip', 'content-type': 'application/json' }],
    ['GZIP', gzipSync(text), { 'content-encoding': 'GZIP' }],
    ['deflate', deflateSync(text), { 'content-encoding': 'deflate' }],
    ['br', brotliCompressSync(text), { 'content-encoding': 'br' }],
    ['gzip twice', gzipSync(gzipSync(text)), { 'content-encoding': 'gzip, gzip' }],
    ['br over gzip, and UTF-16', brotliCompressSync(gzipSync(utf16(''))), { 'content-encoding': 'GZIP,br' }],
    ['gzip by its old name', gzipSync(text), { 'content-encoding': 'x-gzip' }],
    ['a byte order mark', Buffer.from(`\uFEFF${text}`), {}],
    ['a byte order mark, compressed', gzipSync(`\uFEFF${text}`), { 'content-encoding': 'gzip' }],
    ['UTF-16', utf16('\uFEFF'), { 'content-type': 'application/json; charset=utf-16' }],
    ['UTF-16 without a mark', utf16(''), {}],
    ['big-endian UTF-16', utf16('\uFEFF').swap16(), {}],
    ['big-endian UTF-16 without a mark', utf16('').swap16(), {}],
    ['no content type', Buffer.from(text), {}],
    ['another content type', Buffer.from(text), { 'content-type': 'text/html' }],
    ['white space around it', Buffer.from(`\r\n ${text} \n`), {}],
  ])('is read: %s', async (_what, body, headers) => {
    const { url, requests } = await asIt(body, headers);
    expect(await clientFor(url).getJob(JOB)).toEqual(RUNNING);
    // Nothing of it was asked for.
    expect(requests[0]?.headers['accept-encoding']).toBe('identity');
  });

  it.each<readonly [string, Buffer, Record<string, string>, object]>([
    ['two documents', Buffer.from(`${text}${text}`), {}, { httpStatus: 200, message: /is no JSON document/ }],
    ['two lines', Buffer.from(`${text}\n${text}`), {}, { httpStatus: 200, message: /is no JSON document/ }],
    ['an unknown coding', Buffer.from('?'), { 'content-encoding': 'x-pack' }, { message: /encoded as x-pack/ }],
    ['no gzip though it says so', Buffer.from(text), { 'content-encoding': 'gzip' }, { code: /^Z_/ }],
    ['gzip once of two', gzipSync(text), { 'content-encoding': 'gzip, gzip' }, { message: /encoded as gzip, gzip/ }],
    // Some servers mean it by deflate; where it is not told apart, that is a failed call.
    ['deflate without its header', deflateRawSync(text), { 'content-encoding': 'deflate' }, { code: /^Z_/ }],
    ['half of a gzip', gzipSync(text).subarray(0, 40), { 'content-encoding': 'gzip' }, { code: /^Z_/ }],
  ])('is a transient failure: %s', async (_what, body, headers, expected) => {
    const { url } = await asIt(body, headers);
    const failure = await failureOf(clientFor(url).getJob(JOB));
    expect(failure.kind).toBe('transient');
    for (const [name, value] of Object.entries(expected)) {
      if (value instanceof RegExp) expect(`${failure[name as keyof FailedCall]}`).toMatch(value);
      else expect(failure[name as keyof FailedCall]).toBe(value);
    }
  });
});

describe('the id that the other side gave a request', () => {
  it.each<readonly [string, object, Record<string, string>]>([
    ['header', { error_code: 'X', error_msg: '' }, { 'X-Request-Id': 'r-1' }],
    ['header of an answer without a body', {}, { 'x-request-id': 'r-1' }],
    ['body', { error_code: 'X', error_msg: '', request_id: 'r-1' }, {}],
  ])('is kept of a failure: in the %s', async (_where, body, headers) => {
    for (const status of [200, 404, 503]) expect((await failureFrom(status, body, headers)).requestId).toBe('r-1');
  });

  it('holds no secret, and is absent where there is none', async () => {
    expect((await failureFrom(500, '', { 'x-request-id': `r-${TOKEN}` })).requestId).toBe('r-[secret]');
    expect(await failureFrom(500, '')).not.toHaveProperty('requestId');
  });
});

describe('an answer that is too long', () => {
  const TOO_LARGE = { kind: 'transient', code: 'RESPONSE_TOO_LARGE' };

  it('is cut where it never ends, and its connection with it', async () => {
    const chunk = Buffer.alloc(65_536, 'x');
    let closed: number | undefined;
    const cfw = await ownCfw((request, response) => {
      const write = () => {
        while (!response.destroyed && response.write(chunk)) {
          // As much as goes.
        }
      };
      response.on('drain', write).on('close', () => {
        closed = request.socket.bytesWritten;
      });
      write();
    });
    expect(await failureOf(clientFor(cfw.url).getJob(JOB))).toMatchObject(TOO_LARGE);
    await eventually(() => closed !== undefined, { what: 'the end of the connection' });
    // More than the limit is on its way in the buffers of both sides.
    expect(closed).toBeLessThan(64_000_000);
  });

  it('is cut where it has an end, too', async () => {
    for (const length of [1_100_000, 4_000_000]) {
      const body = JSON.stringify({ data: { status: 'Success', padding: 'x'.repeat(length) } });
      expect(await failureFrom(200, body)).toMatchObject(TOO_LARGE);
      expect(await failureFrom(404, body)).toMatchObject(TOO_LARGE);
    }
  });

  it('is read where it is below 1 MB', async () => {
    const body = { data: { status: 'Running', padding: 'x'.repeat(900_000) } };
    const { url } = await ownCfw((_request, response) => send(response, 200, body));
    expect(await clientFor(url).getJob(JOB)).toEqual(RUNNING);
  });

  it.each(['gzip', 'deflate', 'br'] as const)(
    'is cut where it comes out of a small compressed one: %s',
    async (coding) => {
      const cfw = await ownCfw((_request, response) =>
        response.writeHead(200, { 'content-encoding': coding }).end(COMPRESS[coding](Buffer.alloc(50_000_000, ' '))),
      );
      expect(await failureOf(clientFor(cfw.url).getJob(JOB))).toMatchObject(TOO_LARGE);
    },
  );

  it('is not decoded to its end where it is encoded twice', async () => {
    const text = `{"data":{"status":"Running"}}${' '.repeat(50_000_000)}`;
    const cfw = await ownCfw((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip, gzip' }).end(gzipSync(gzipSync(text))),
    );
    expect(await failureOf(clientFor(cfw.url).getJob(JOB))).toMatchObject({
      kind: 'transient',
      message: /encoded as gzip, gzip/,
    });
  });
});

describe('another side that does not answer', () => {
  const timedOut = { kind: 'transient', code: 'ETIMEDOUT', httpStatus: null };
  const ask = (url: string) => clientFor(url, { requestTimeoutMs: SHORT_MS }).getJob(JOB);

  it('times out', async () => {
    const { url } = await ownCfw(() => {});
    expect(await ask(url)).toMatchObject(timedOut);
  });

  it('times out where it sends a little now and then', async () => {
    const { url } = await ownCfw((_request, response) => {
      response.writeHead(200).flushHeaders();
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drip));
    });
    expect(await ask(url)).toMatchObject(timedOut);
  });

  it.each(['http', 'https'])('times out where it takes the connection and is silent: %s', async (protocol) => {
    const port = await servers.tcp((socket) => socket.resume());
    expect(await ask(`${protocol}://127.0.0.1:${port}`)).toMatchObject(timedOut);
  });

  it('is transient where nobody listens', async () => {
    expect(await failureOf(clientFor('http://127.0.0.1:1').getJob(JOB))).toMatchObject({
      kind: 'transient',
      code: 'ECONNREFUSED',
      httpStatus: null,
    });
  });

  it('is transient where it hangs up', async () => {
    const { url } = await ownCfw((request) => request.socket.destroy());
    expect(await failureOf(clientFor(url).getJob(JOB))).toMatchObject({ kind: 'transient', code: 'ECONNRESET' });
  });

  it('is transient where it hangs up in the middle of an answer', async () => {
    const { url } = await ownCfw((request, response) => {
      response.writeHead(200, { 'content-length': '1000' }).write('{"data"', () => request.socket.destroy());
    });
    expect(await failureOf(clientFor(url).getJob(JOB))).toMatchObject({ kind: 'transient', httpStatus: null });
  });

  it('gets no request, and so no token, where its certificate is signed by nobody we trust', async () => {
    let requests = 0;
    const listener: RequestListener = (_request, response) => {
      requests += 1;
      sendRunning(undefined, response);
    };
    const port = await servers.listen(createHttpsServer(selfSigned(), listener));
    expect(await failureOf(clientFor(`https://127.0.0.1:${port}`).getJob(JOB))).toMatchObject({
      kind: 'transient',
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
      httpStatus: null,
    });
    expect(requests).toBe(0);
  });
});

describe('a call that is given up', () => {
  const ABORTED = { kind: 'transient', code: 'ABORTED', httpStatus: null };

  it('is ABORTED at once', async () => {
    const cfw = await ownCfw(() => {});
    const cut = new AbortController();
    const answer = clientFor(cfw.url).getJob(JOB, cut.signal);
    await eventually(() => cfw.requests.length > 0, { what: 'the request' });
    cut.abort();
    expect(await answer).toMatchObject(ABORTED);
  });

  it('is not made where it was given up before', async () => {
    const cfw = await ownCfw(sendRunning);
    expect(await clientFor(cfw.url).getJob(JOB, AbortSignal.abort())).toMatchObject(ABORTED);
    expect(cfw.requests).toHaveLength(0);
  });

  it('is ABORTED also while it waits for a token', async () => {
    const cfw = await ownCfw(sendRunning);
    const iam = await ownCfw(() => {});
    const simulator = await simulate();
    const cut = new AbortController();
    const answer = clientFor(cfw.url, { credential: iamOf(iam.url, simulator) }).getJob(JOB, cut.signal);
    await eventually(() => iam.requests.length > 0, { what: 'the request for a token' });
    cut.abort();
    expect(await answer).toMatchObject(ABORTED);
  });

  it('is ABORTED also while it waits for the first call to prove the credential', async () => {
    const held: ServerResponse[] = [];
    const cfw = await ownCfw((_request, response) => held.push(response));
    const client = clientFor(cfw.url);
    const first = client.getJob(JOB);
    await eventually(() => held.length > 0, { what: 'the first call' });
    const cut = new AbortController();
    const second = client.getJob(JOB, cut.signal);
    cut.abort();
    // The first call ends some time later; the second one must not have waited for that.
    const settled = await Promise.race([second, new Promise((resolve) => setTimeout(resolve, SHORT_MS, 'waits'))]);
    sendRunning(undefined, held[0] as ServerResponse);
    await first;
    expect(settled).toMatchObject(ABORTED);
  });

  it('leaves no listener behind', async () => {
    const cfw = await ownCfw(sendRunning);
    const client = clientFor(cfw.url);
    const { signal } = new AbortController();
    for (let n = 0; n < 3; n += 1) await client.getJob(JOB, signal);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});

describe('a proxy', () => {
  /** Tunnels as CONNECT asks; keeps what it was asked. */
  async function proxyServer(status = 200) {
    const asked: { target: string | undefined; authorization: string | undefined }[] = [];
    const server = createHttpServer((request, response) => {
      asked.push({ target: request.url, authorization: request.headers['proxy-authorization'] });
      response.writeHead(501).end();
    });
    server.on('connect', (request: IncomingMessage, socket) => {
      asked.push({ target: request.url, authorization: request.headers['proxy-authorization'] });
      if (status !== 200) {
        socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
        return;
      }
      const { hostname, port } = new URL(`http://${request.url}`);
      const tunnel = connect(Number(port), hostname, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        tunnel.pipe(socket).pipe(tunnel);
      });
      tunnel.on('error', () => socket.destroy());
      socket.on('error', () => tunnel.destroy()).on('close', () => tunnel.destroy());
    });
    return { asked, port: await servers.listen(server) };
  }

  it('is gone through, with its password', async () => {
    const cfw = await ownCfw(sendRunning);
    const proxy = await proxyServer();
    const client = clientFor(cfw.url, { proxy: new Secret(`http://user:hunter2@127.0.0.1:${proxy.port}`) });
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    const authorization = `Basic ${Buffer.from('user:hunter2').toString('base64')}`;
    // One tunnel for both: connections are kept.
    expect(proxy.asked).toEqual([{ target: new URL(cfw.url).host, authorization }]);
    expect(cfw.requests.map(({ headers }) => headers['proxy-authorization'])).toEqual([undefined, undefined]);
  });

  it('is not passed by where it refuses or is away, and its password is not told', async () => {
    const cfw = await ownCfw(sendRunning);
    const { port } = await proxyServer(407);
    for (const address of [`127.0.0.1:${port}`, '127.0.0.1:1']) {
      const client = clientFor(cfw.url, { proxy: new Secret(`http://user:hunter2@${address}`) });
      const failure = await failureOf(client.getJob(JOB));
      expect(failure).toMatchObject({ kind: 'transient', httpStatus: null });
      expect(JSON.stringify(failure)).not.toContain('hunter2');
    }
    expect(cfw.requests).toHaveLength(0);
  });
});

describe('a refused credential', () => {
  const folder = mkdtempSync(join(tmpdir(), 'client-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'token');

  const onlyFor =
    (token: string) =>
    (request: IncomingMessage, response: ServerResponse): unknown =>
      request.headers['x-auth-token'] === token ? sendRunning(request, response) : send(response, 401, refusal());

  it('is not used again for now: calls are withheld, and nobody is asked', async () => {
    const cfw = await ownCfw(onlyFor('another'));
    const states: string[] = [];
    const client = clientFor(cfw.url, { onCredentialState: ({ state }) => states.push(state) });
    const first = await failureOf(client.getJob(JOB));
    expect(first).toMatchObject({ kind: 'unauthorized', code: 'APIGW.0301', httpStatus: 401 });
    expect(first.retryAfterMs).toBeUndefined();
    const others = await Promise.all(Array.from({ length: 200 }, () => client.getJob(JOB)));
    for (const answer of others)
      expect(answer).toMatchObject({ kind: 'withheld', code: 'APIGW.0301', httpStatus: 401 });
    expect(cfw.requests).toHaveLength(1);
    expect(states).toEqual(['refused']);
    expect(client.credentialState).toMatchObject({
      state: 'refused',
      refusal: { code: 'APIGW.0301', httpStatus: 401 },
    });
  });

  it('is tried by one of many who ask at the same time', async () => {
    const cfw = await ownCfw(onlyFor('another'));
    const client = clientFor(cfw.url);
    const answers = await Promise.all(Array.from({ length: 200 }, () => client.getJob(JOB)));
    expect(answers.map(({ kind }) => kind).sort()).toEqual(['unauthorized', ...Array(199).fill('withheld')]);
    expect(cfw.requests).toHaveLength(1);
  });

  it('is replaced at once where its file holds another one by now', async () => {
    writeFileSync(file, 'old');
    const cfw = await ownCfw(onlyFor('new'));
    const states: string[] = [];
    const client = clientFor(cfw.url, {
      credential: tokenCredential(Secret.fromFile(file)),
      onCredentialState: ({ state }) => states.push(state),
    });
    writeFileSync(file, 'new\n');
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'unauthorized', httpStatus: 401, retryAfterMs: 0 });
    expect(await client.getJob(JOB)).toEqual(RUNNING);
    expect(states).toEqual([]);
  });

  it('is tried again as soon as its file is mended, however long the pause would be', async () => {
    // Time stands still, so that no pause is ever over.
    jest.spyOn(Date, 'now').mockReturnValue(Date.now());
    const simulator = await simulate();
    const secretIn = (name: string): Secret => {
      writeFileSync(join(folder, name), 'wrong');
      return Secret.fromFile(join(folder, name));
    };
    const { accessKey, secretKey } = simulator.key;
    const kinds: readonly [name: string, mended: string, credential: Credential][] = [
      ['token', simulator.token, tokenCredential(secretIn('token'))],
      ['key', secretKey, akskCredential({ accessKey: new Secret(accessKey), secretKey: secretIn('key') })],
      ['password', simulator.iam.password, iamOf(`${simulator.url}/v3`, simulator, secretIn('password'))],
    ];
    const waits = kinds.map(async ([name, mended, credential]) => {
      const client = clientFor(simulator.url, { credential });
      await client.getJob(JOB);
      expect(client.credentialState.state).toBe('refused');
      // Written again and again, since who watches a file has to have seen what it was like before.
      for (let n = 0; n < 400 && (await client.getJob(JOB)).kind !== 'job'; n += 1) {
        writeFileSync(join(folder, name), mended);
        await sleep(25);
      }
      expect(client.credentialState.state).toBe('accepted');
    });
    await Promise.all(waits);
  });

  it('is a token of IAM that was revoked: the next call has a new one', async () => {
    const simulator = await simulate();
    const client = clientFor(simulator.url, { credential: iamOf(`${simulator.url}/v3`, simulator) });
    await client.getJob(JOB);
    simulator.iam.revoke();
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'unauthorized', httpStatus: 401, retryAfterMs: 0 });
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'job' });
    expect(simulator.iam.calls).toHaveLength(2);
  });

  it('is a wrong password: neither CFW nor IAM is asked again', async () => {
    const simulator = await simulate();
    const credential = iamOf(`${simulator.url}/v3`, simulator, new Secret('wrong'));
    const client = clientFor(simulator.url, { credential });
    for (let n = 0; n < 100; n += 1) {
      expect(await client.getJob(JOB)).toMatchObject({ kind: 'withheld', code: 'IAM.0062', httpStatus: 401 });
    }
    expect(simulator.iam.calls).toHaveLength(1);
    expect(simulator.calls()).toBe(0);
    expect(client.credentialState.state).toBe('refused');
  });

  it('is a wrong password that was mended at IAM: the first probe after the pause finds out', async () => {
    const simulator = await simulate();
    const client = clientFor(simulator.url, {
      credential: iamOf(`${simulator.url}/v3`, simulator, new Secret('the-next-one')),
    });
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'withheld', code: 'IAM.0062' });
    simulator.iam.password = 'the-next-one';
    // No two clocks go at the same pace: this is the breaker's, and that of the tokens is half a second behind it.
    const [date, elapsed] = [Date.now.bind(Date), performance.now.bind(performance)];
    jest.spyOn(Date, 'now').mockImplementation(() => date() + 30_000);
    jest.spyOn(performance, 'now').mockImplementation(() => elapsed() + 29_500);
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'job' });
  });

  it.each<readonly [number, string, string, 'refused' | 'accepted' | 'unproven']>([
    [403, 'APIGW.0501', 'unauthorized', 'refused'],
    [405, 'APIG.0502', 'unauthorized', 'refused'],
    // One project only.
    [403, 'APIGW.0310', 'transient', 'unproven'],
    [403, 'APIGW.0302', 'denied', 'accepted'],
    [404, 'CFW.00200005', 'not-found', 'accepted'],
    [400, 'CFW.00200001', 'rejected', 'accepted'],
    [400, 'APIGW.0106', 'invalid', 'accepted'],
    [429, 'APIGW.0308', 'throttled', 'unproven'],
    [503, 'APIGW.0605', 'transient', 'unproven'],
  ])('is told from trouble of other kinds: %d %s is %s and leaves it %s', async (status, code, kind, state) => {
    const cfw = await ownCfw((_request, response) => send(response, status, { error_code: code, error_msg: '' }));
    const client = clientFor(cfw.url);
    expect(await client.getJob(JOB)).toMatchObject({ kind, code, httpStatus: status });
    expect(client.credentialState.state).toBe(state);
    await client.getJob(JOB);
    expect(cfw.requests).toHaveLength(state === 'refused' ? 1 : 2);
  });

  it.each<readonly [number, string]>([
    [401, 'APIGW.0301'],
    [403, 'APIGW.0501'],
  ])('is no reason to be asked again at once where there is nothing new to try: %d %s', async (status, error_code) => {
    const failure = await failureFrom(status, { error_code, error_msg: 'no' }, { 'retry-after': '0' });
    expect(failure.kind).toBe('unauthorized');
    expect(failure.retryAfterMs).not.toBe(0);
  });
});

describe('an IAM in trouble', () => {
  it('withholds calls without counting as a refusal', async () => {
    const simulator = await simulate();
    const client = clientFor(simulator.url, { credential: iamOf('http://127.0.0.1:1/v3', simulator) });
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'withheld', code: 'ECONNREFUSED', httpStatus: null });
    expect(client.credentialState.state).toBe('unproven');
    expect(simulator.calls()).toBe(0);
  });

  it('does not hold a call for longer than one may take', async () => {
    const simulator = await simulate();
    const silent = await ownCfw(() => {});
    // The bound is the client's: IAM's own is longer here.
    const client = clientFor(simulator.url, {
      credential: iamOf(`${silent.url}/v3`, simulator, undefined, 60_000),
      requestTimeoutMs: SHORT_MS,
    });
    expect(await client.getJob(JOB)).toMatchObject({ kind: 'withheld', code: 'ETIMEDOUT', httpStatus: null });
  });

  it('withholds calls, and throws nothing, where a credential fails in a way that nobody foresaw', async () => {
    const cfw = await ownCfw(sendRunning);
    const credential: Credential = {
      ...tokenCredential(new Secret(TOKEN)),
      authenticate: () => Promise.reject(new Error(`oops ${TOKEN}`)),
    };
    expect(await clientFor(cfw.url, { credential }).getJob(JOB)).toEqual({
      kind: 'withheld',
      code: 'UNEXPECTED',
      httpStatus: null,
      message: 'oops [secret]',
    });
  });
});

describe('what is secret', () => {
  const key = {
    accessKey: new Secret('AKSECRET'),
    secretKey: new Secret('SKSECRET'),
    securityToken: new Secret('STSECRET'),
  };

  /** Says all that it was sent, as gateways do that want to help. */
  const echo =
    (status: number) =>
    (request: IncomingMessage, response: ServerResponse): unknown => {
      const { authorization = '', ...others } = request.headers;
      const signature = /Signature=(\w+)/.exec(authorization)?.[1] ?? '';
      const error_msg = [request.url, authorization, `expected ${signature}`, JSON.stringify(others)].join('; ');
      return send(response, status, { error_code: `X-${others['x-auth-token'] ?? signature}`, error_msg });
    };

  it.each([401, 403, 404, 500])('does not come back from an error %d that repeats the request', async (status) => {
    for (const credential of [tokenCredential(new Secret(TOKEN)), akskCredential(key)]) {
      const cfw = await ownCfw(echo(status));
      const told: unknown[] = [];
      const client = clientFor(cfw.url, { credential, onCredentialState: (state) => told.push(state) });
      const failure = await failureOf(client.getJob(JOB));
      const all = JSON.stringify([failure, told, client.credentialState, await client.getJob(JOB)]);
      expect(all).not.toMatch(/MIIready|AKSECRET|SKSECRET|STSECRET|[0-9a-f]{64}/);
      // What helps is kept.
      expect(failure.message).toContain('/v3/project-1/jobs/job-1');
      expect(failure.message).toContain('[secret]');
    }
  });

  it('does not come back from an IAM that repeats the password', async () => {
    const simulator = await simulate();
    const iam = await ownCfw((_request, response) =>
      send(response, 401, { error_code: 'IAM.0062', error_msg: 'hunter2 is wrong' }),
    );
    const client = clientFor(simulator.url, { credential: iamOf(`${iam.url}/v3`, simulator, new Secret('hunter2')) });
    expect(await client.getJob(JOB)).toMatchObject({ message: 'IAM gives no token: [secret] is wrong' });
    expect(JSON.stringify(client.credentialState)).not.toContain('hunter2');
  });
});

describe('a clock that is off', () => {
  const dated = (minutes: number) => ({ date: new Date(Date.now() + minutes * 60_000).toUTCString() });
  const both = /here it is (\S+Z), there (\S+Z)\)$/;

  it.each([-20, 20])('is told by both times where CFW refuses us: %d minutes', async (minutes) => {
    const before = Date.now();
    const { message } = await failureFrom(401, refusal(), dated(minutes));
    const [, here = '', there = ''] = both.exec(message) ?? [];
    expect(message).toMatch(/^Incorrect IAM authentication information/);
    expect(Date.parse(here)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(here)).toBeLessThanOrEqual(Date.now());
    expect(Math.abs(Date.parse(there) - before - minutes * 60_000)).toBeLessThan(30_000);
  });

  it('is not blamed where it is right, where nobody tells the time, and for other errors', async () => {
    expect((await failureFrom(401, refusal(), dated(0))).message).not.toMatch(both);
    expect((await failureFrom(401, refusal(), { date: 'today' })).message).not.toMatch(both);
    expect((await failureFrom(403, refusal(), dated(20))).message).not.toMatch(both);
  });
});
