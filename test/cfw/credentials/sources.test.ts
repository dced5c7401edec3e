import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { findInCatalogue } from '../../../src/cfw/credentials/catalogue.js';
import { ecsAgencySource } from '../../../src/cfw/credentials/ecs-agency.js';
import { iamCredential } from '../../../src/cfw/credentials/iam.js';
import { keptKey } from '../../../src/cfw/credentials/keys.js';
import type { KeystoneLogin } from '../../../src/cfw/credentials/keystone.js';
import { oidcSource } from '../../../src/cfw/credentials/oidc.js';
import { podIdentitySource } from '../../../src/cfw/credentials/pod-identity.js';
import { roleSource } from '../../../src/cfw/credentials/role.js';
import { createHttp } from '../../../src/cfw/http.js';
import { Secret } from '../../../src/lib/secret.js';
import { useServers } from '../servers.js';

const servers = useServers();
const { http, close } = createHttp({ requestTimeoutMs: 10_000, proxy: undefined });
const folder = mkdtempSync(join(tmpdir(), 'sources-'));
afterAll(() => {
  close();
  rmSync(folder, { recursive: true });
});

interface Call {
  readonly request: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}
interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body: unknown;
}

let calls: Call[];
beforeEach(() => {
  calls = [];
});

/** A server that answers as it is told to; it keeps what it was asked. */
function sourceOf(answer: (call: Call) => Answer): Promise<string> {
  return servers.http((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const call = {
        request: `${request.method} ${request.url}`,
        headers: request.headers,
        body: text === '' ? undefined : JSON.parse(text),
      };
      calls.push(call);
      const { status = 200, headers = {}, body } = answer(call);
      const isWritten = typeof body === 'string' || Buffer.isBuffer(body);
      response.writeHead(status, headers).end(isWritten ? body : JSON.stringify(body));
    });
  });
}

const HOUR = 3_600_000;
const inAnHour = () => new Date(Date.now() + HOUR).toISOString();
const credential = () => ({ access: 'A', secret: 'S', securitytoken: 'T', expires_at: inAnHour() });
const KEY = { accessKey: 'A', secretKey: 'S', securityToken: 'T' };
const requests = () => calls.map(({ request }) => request);
const tokenFile = (text: string) => {
  const file = join(folder, 'token');
  writeFileSync(file, `${text}\n`);
  return file;
};

const expectKey = ({ value, lifeMs }: { value: object; lifeMs: number }) => {
  expect(value).toEqual(KEY);
  expect(lifeMs).toBeGreaterThan(HOUR - 60_000);
  expect(lifeMs).toBeLessThanOrEqual(HOUR);
};

describe('pod identity', () => {
  const answer = () => ({
    body: { credentials: { accessKeyId: 'A', secretAccessKey: 'S', securityToken: 'T', expiration: inAnHour() } },
  });

  it('is a POST with the token of the file, which is read anew each time', async () => {
    const uri = `${await sourceOf(answer)}/v1/credentials`;
    const source = podIdentitySource({ uri, tokenFile: tokenFile('first') }, http);
    expectKey(await source.ask());
    tokenFile('second');
    await source.ask();
    expect(requests()).toEqual(['POST /v1/credentials', 'POST /v1/credentials']);
    expect(calls.map(({ headers }) => headers.authorization)).toEqual(['first', 'second']);
    expect(calls[0]?.body).toEqual({});
    expect(source.secrets()).toContain('second');
  });

  it.each<[string, number, unknown, object]>([
    ['a refusal', 401, { error_msg: 'no' }, { refused: true, httpStatus: 401 }],
    ['trouble', 503, '', { refused: false, httpStatus: 503, code: 'POD_IDENTITY_HTTP_503' }],
    ['another form', 200, { key: 'A' }, { refused: false, httpStatus: 200 }],
  ])('tells %s from others', async (_what, status, body, error) => {
    const uri = await sourceOf(() => ({ status, body }));
    await expect(podIdentitySource({ uri, tokenFile: tokenFile('t') }, http).ask()).rejects.toMatchObject(error);
  });

  it.each<[string, (text: string) => Buffer, Record<string, string>]>([
    ['compressed', (text) => gzipSync(text), { 'content-encoding': 'gzip' }],
    ['with a byte order mark', (text) => Buffer.from(`\uFEFF${text}`), {}],
    ['in UTF-16', (text) => Buffer.from(`\uFEFF${text}`, 'utf16le'), {}],
  ])('is read %s, too, as proxies may make it', async (_what, form, headers) => {
    const uri = await sourceOf(() => ({ headers, body: form(JSON.stringify(answer().body)) }));
    expectKey(await podIdentitySource({ uri, tokenFile: tokenFile('t') }, http).ask());
  });

  it('says which file is away', async () => {
    const source = podIdentitySource({ uri: 'http://127.0.0.1:1', tokenFile: '/none' }, http);
    await expect(source.ask()).rejects.toMatchObject({ code: 'ENOENT', message: expect.stringContaining('/none') });
  });
});

describe('the agency of a server', () => {
  const TOKEN = 'PUT /meta-data/latest/api/token';
  const GET = 'GET /openstack/latest/securitykey';

  it('is asked with a session token, which is kept', async () => {
    const endpoint = await sourceOf(({ request }) => ({
      body: request === TOKEN ? 'session' : { credential: credential() },
    }));
    const source = ecsAgencySource({ endpoint }, http);
    expectKey(await source.ask());
    await source.ask();
    expect(requests()).toEqual([TOKEN, GET, GET]);
    expect(calls[0]?.headers['x-metadata-token-ttl-seconds']).toBe('21600');
    expect(calls[1]?.headers['x-metadata-token']).toBe('session');
  });

  it.each([404, 405, 503])('is asked without one by version 1, which answers %d to the PUT', async (status) => {
    const endpoint = await sourceOf(({ request }) =>
      request === TOKEN ? { status, body: 'no' } : { body: { credential: credential() } },
    );
    expectKey(await ecsAgencySource({ endpoint }, http).ask());
    expect(calls[1]?.headers['x-metadata-token']).toBeUndefined();
  });

  it('is asked with a new token after a 401, once', async () => {
    let tokens = 0;
    const endpoint = await sourceOf(({ request, headers }) => {
      if (request === TOKEN) {
        tokens += 1;
        return { body: `session-${tokens}` };
      }
      return headers['x-metadata-token'] === 'session-2'
        ? { body: { credential: credential() } }
        : { status: 401, body: 'Unauthorized' };
    });
    expectKey(await ecsAgencySource({ endpoint }, http).ask());
    expect(requests()).toEqual([TOKEN, GET, TOKEN, GET]);
  });

  it('is a refusal that says what to do if there is none, and no further call', async () => {
    const endpoint = await sourceOf(({ request }) =>
      request === TOKEN ? { body: 'session' } : { status: 401, body: 'The agency should be configured first' },
    );
    await expect(ecsAgencySource({ endpoint }, http).ask()).rejects.toMatchObject({
      code: 'NO_AGENCY',
      refused: true,
      message: expect.stringContaining('assign one'),
    });
    expect(requests()).toEqual([TOKEN, GET]);
  });
});

describe('OpenID Connect', () => {
  const EXCHANGE = 'POST /v3.0/OS-AUTH/id-token/tokens';
  const KEYS = 'POST /v3.0/OS-CREDENTIAL/securitytokens';

  it('exchanges the JWT for a token, and that for keys', async () => {
    const iamEndpoint = await sourceOf(({ request }) =>
      request === EXCHANGE
        ? { status: 201, headers: { 'x-subject-token': 'subject' }, body: {} }
        : { status: 201, body: { credential: credential() } },
    );
    const login = { iamEndpoint, idpId: 'idp', tokenFile: tokenFile('j.w.t'), projectId: 'p' };
    const source = oidcSource(login, http);
    expectKey(await source.ask());
    expect(requests()).toEqual([EXCHANGE, KEYS]);
    expect(calls[0]?.headers['x-idp-id']).toBe('idp');
    expect(calls[0]?.body).toEqual({ auth: { id_token: { id: 'j.w.t' }, scope: { project: { id: 'p' } } } });
    expect(calls[1]?.headers['x-auth-token']).toBe('subject');
    expect(calls[1]?.body).toEqual({ auth: { identity: { methods: ['token'], token: { duration_seconds: 21_600 } } } });
    expect(source.secrets()).toEqual(['j.w.t', 'subject']);
  });
});

describe('a role', () => {
  it('is asked for by a signed request', async () => {
    const iamEndpoint = await sourceOf(() => ({ status: 201, body: { credential: credential() } }));
    const keys = keptKey({ accessKey: new Secret('base'), secretKey: new Secret('secret') });
    const role = { iamEndpoint, agencyName: 'agency', domain: { domain_name: 'other' }, durationSeconds: 900 };
    expectKey(await roleSource(role, keys, http).ask());
    expect(requests()).toEqual(['POST /v3.0/OS-CREDENTIAL/securitytokens']);
    expect(calls[0]?.headers.authorization).toMatch(/^SDK-HMAC-SHA256 Access=base, /);
    expect(calls[0]?.body).toEqual({
      auth: {
        identity: {
          methods: ['assume_role'],
          assume_role: { agency_name: 'agency', domain_name: 'other', duration_seconds: 900 },
        },
      },
    });
  });
});

describe('Keystone', () => {
  const password: KeystoneLogin['identity'] = {
    method: 'password',
    user: { id: 'u' },
    password: new Secret('hunter2'),
  };
  const application: KeystoneLogin['identity'] = { method: 'application_credential', id: 'i', secret: new Secret('s') };
  const service = (type: string, url: string, region: string, kind = 'public') => ({
    type,
    endpoints: [{ interface: kind, url, region_id: region }],
  });
  const token = (catalog: object[]) => ({
    status: 201,
    headers: { 'x-subject-token': 'T' },
    body: { token: { project: { id: 'p1' }, catalog } },
  });

  it.each<[string, object[], string | undefined, string | undefined]>([
    [
      'in the region',
      [service('cfw', 'https://a/v3/p1', 'r1'), service('cfw', 'https://b/v3/p1', 'r2')],
      'r2',
      'https://b',
    ],
    ['of any version', [service('cfwv2', 'https://c/v2/p1/', 'r1')], undefined, 'https://c'],
    [
      'of the best type',
      [service('cfwv1', 'https://d', 'r'), service('cfw', 'https://e/cfw/v3', 'r')],
      undefined,
      'https://e/cfw',
    ],
    ['if it is public', [service('cfw', 'https://f', 'r', 'internal')], undefined, undefined],
    ['of this region only', [service('cfw', 'https://g', 'r1')], 'r2', undefined],
    ['if there is one', [service('vpc', 'https://h', 'r')], undefined, undefined],
  ])('gives the endpoint %s', async (_what, catalog, region, endpoint) => {
    const authUrl = `${await sourceOf(() => token(catalog))}/v3`;
    const scope = { project: { name: 'n', domain: { id: 'd' } } };
    expect(await findInCatalogue({ authUrl, identity: password }, http, { scope, region })).toEqual({
      endpoint,
      projectId: 'p1',
    });
    expect(requests()).toEqual(['POST /v3/auth/tokens']);
    expect(calls[0]?.body).toEqual({
      auth: { identity: { methods: ['password'], password: { user: { id: 'u', password: 'hunter2' } } }, scope },
    });
  });

  it('repeats no password when the catalogue is refused', async () => {
    const authUrl = await sourceOf(() => ({ status: 401, body: { error_msg: 'wrong: hunter2' } }));
    const asked = findInCatalogue({ authUrl, identity: password }, http, { scope: undefined, region: undefined });
    await expect(asked).rejects.toMatchObject({ refused: true, message: 'IAM gives no token: wrong: [secret]' });
  });

  it('takes an application credential without a scope, and once for all; another project is denied', async () => {
    const authUrl = await sourceOf(() => token([]));
    const credential = iamCredential({ authUrl, identity: application }, http);
    const ask = async (projectId: string) =>
      await credential.authenticate({ method: 'GET', url: new URL('https://cfw.example.com'), projectId });
    expect(await ask('p1')).toEqual({ 'X-Auth-Token': 'T' });
    await expect(ask('p2')).rejects.toMatchObject({
      denied: true,
      message: expect.stringMatching(/belongs to project p1, .* project p2/),
    });
    expect(calls).toHaveLength(1);
    expect(calls[0]?.body).toEqual({
      auth: {
        identity: { methods: ['application_credential'], application_credential: { id: 'i', secret: 's' } },
      },
    });
  });
});
