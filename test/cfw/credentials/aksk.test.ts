import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AKSKSigner } from '@huaweicloud/huaweicloud-sdk-core/auth/AKSKSigner.js';
import { afterAll, afterEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import { type AccessKey, akskCredential } from '../../../src/cfw/credentials/keys.js';
import { authorization, sdkDate } from '../../../src/cfw/credentials/signature.js';
import { Secret } from '../../../src/lib/secret.js';

const AK = 'AKIDEXAMPLE';
const SK = 'secret/key+example=';
const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const URL_OF_JOB = new URL('https://cfw.eu-de.example.com/v3/project-1/jobs/job-1');

interface Key {
  readonly accessKey: string;
  readonly secretKey: string;
}

interface Request {
  readonly method: string;
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly queryParams?: Readonly<Record<string, string | string[]>>;
}

/** What the vendor's own signer adds to a request, by lower-case name. */
function signedByVendor({ accessKey, secretKey }: Key, request: Request): Record<string, string> {
  // It sorts the lists of queryParams in place.
  const signed = AKSKSigner.sign(
    structuredClone(request) as unknown as Parameters<typeof AKSKSigner.sign>[0],
    { getAk: () => accessKey, getSk: () => secretKey } as unknown as Parameters<typeof AKSKSigner.sign>[1],
  ) as Record<string, string>;
  return Object.fromEntries(Object.entries(signed).map(([name, value]) => [name.toLowerCase(), value]));
}

const key = fc.record({
  accessKey: fc.stringMatching(/^[A-Z0-9]{1,40}$/),
  secretKey: fc.string({ minLength: 1, maxLength: 64 }),
});
const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const date = fc.date({ min: new Date('2000-01-01'), max: new Date('2099-12-31'), noInvalidDate: true });
const endpoint = fc
  .record({
    host: fc.oneof(fc.domain(), fc.constantFrom('127.0.0.1', '[::1]', 'localhost')),
    port: fc.option(fc.integer({ min: 1_024, max: 65_535 })),
    prefix: fc.constantFrom('', '', '/cfw', '/a-b/c_d/e.f~g'),
    path: fc.oneof(
      fc.tuple(id, id).map(([project, job]) => `/v3/${project}/jobs/${job}`),
      fc.constantFrom('', '/', '/v3/', '/v3//jobs'),
    ),
  })
  .map(({ host, port, prefix, path }) => `https://${host}${port === null ? '' : `:${port}`}${prefix}${path}`);
const extraHeaders = fc.dictionary(
  fc.stringMatching(/^X-[A-Za-z][A-Za-z-]{0,20}[a-z]$/),
  fc.stringMatching(/^[!-~]{1,40}$/),
  {
    maxKeys: 5,
  },
);
// The vendor sorts by names and values as they are and not as they are encoded, so that names, and the values of a name
// that is repeated, are of characters here that no encoding puts into another order.
const query = fc.dictionary(
  fc.stringMatching(/^[A-Za-z0-9_.~-]{1,10}$/),
  fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.constantFrom('', ' ', "a b+c/d=e&f!'()*~", '100%', '%41', 'ü', '防火墙', '🔥'),
    fc.array(fc.stringMatching(/^[A-Za-z0-9_.~-]{0,10}$/), { minLength: 2, maxLength: 4 }),
  ),
  { maxKeys: 5 },
);

const withQuery = (address: string, params: Readonly<Record<string, string | string[]>>): URL => {
  const pairs = Object.entries(params).flatMap(([name, value]) =>
    [value].flat().map((one) => `${encodeURIComponent(name)}=${encodeURIComponent(one)}`),
  );
  return new URL(pairs.length === 0 ? address : `${address}?${pairs.join('&')}`);
};

const AT = { method: 'GET' as const, url: URL_OF_JOB, projectId: 'project-1' };

/** Sees what the vendor would send in place of the credential's headers: all that is signed but the signature itself. */
function expectAsVendor(headers: Readonly<Record<string, string>>, at: { url: URL }, signer: Key): void {
  const { Authorization: given, host: _host, ...signed } = headers;
  const vendor = signedByVendor(signer, { method: 'GET', endpoint: at.url.href, headers: signed });
  expect(given).toBe(vendor.authorization);
  expect(headers.host).toBe(vendor.host);
}

afterEach(() => {
  jest.useRealTimers();
});

describe('a signature', () => {
  it("is the vendor's", () => {
    fc.assert(
      fc.property(
        key,
        fc.constantFrom('GET', 'DELETE', 'HEAD'),
        endpoint,
        query,
        extraHeaders,
        date,
        (signer, method, address, queryParams, headers, signedAt) => {
          const url = withQuery(address, queryParams);
          const dated = { ...headers, 'X-Sdk-Date': sdkDate(signedAt) };
          const ours = authorization(signer.accessKey, signer.secretKey, {
            method,
            url,
            headers: { ...dated, host: url.host },
          });
          expect(ours).toBe(
            signedByVendor(signer, { method, endpoint: address, headers: dated, queryParams }).authorization,
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  // So that the property above cannot hold by both sides ignoring what they are given.
  it.each<readonly [string, Partial<{ secretKey: string; method: string; url: URL; date: string; host: string }>]>([
    ['key', { secretKey: 'another' }],
    ['method', { method: 'POST' }],
    ['path', { url: new URL('/v3/project-1/jobs/job-2', URL_OF_JOB) }],
    ['query', { url: new URL('?a=1', URL_OF_JOB) }],
    ['date', { date: '20260102T030406Z' }],
    ['host', { host: 'cfw.example.com' }],
  ])('is another one for another %s', (_what, { secretKey = SK, method = 'GET', url = URL_OF_JOB, ...headers }) => {
    const signed = (secret: string, verb: string, to: URL, { date = '20260102T030405Z', host = to.host } = {}) =>
      authorization(AK, secret, { method: verb, url: to, headers: { host, 'X-Sdk-Date': date } });
    expect(signed(secretKey, method, url, headers)).not.toBe(signed(SK, 'GET', URL_OF_JOB));
  });

  it('is written as the guide says', () => {
    const headers = { 'X-Sdk-Date': '20260102T030405Z', host: 'h' };
    expect(authorization(AK, SK, { method: 'GET', url: URL_OF_JOB, headers })).toMatch(
      /^SDK-HMAC-SHA256 Access=AKIDEXAMPLE, SignedHeaders=host;x-sdk-date, Signature=[0-9a-f]{64}$/,
    );
  });
});

describe('the date of a signature', () => {
  it('is UTC in seconds', () => {
    expect(sdkDate(new Date(NOW))).toBe('20260102T030405Z');
  });
});

describe('the headers of an AK/SK credential', () => {
  const freeze = (now = NOW) => jest.useFakeTimers({ now });
  const permanent: AccessKey = { accessKey: new Secret(AK), secretKey: new Secret(SK) };
  const temporary: AccessKey = { ...permanent, securityToken: new Secret('security-token') };

  it('are those of a permanent key', async () => {
    freeze();
    expect(await akskCredential(permanent).authenticate(AT)).toEqual({
      host: 'cfw.eu-de.example.com',
      'X-Sdk-Date': '20260102T030405Z',
      'X-Project-Id': 'project-1',
      Authorization: expect.stringContaining('SignedHeaders=host;x-project-id;x-sdk-date,'),
    });
  });

  it('have the security token of a temporary key, and sign it', async () => {
    freeze();
    expect(await akskCredential(temporary).authenticate(AT)).toMatchObject({
      'X-Security-Token': 'security-token',
      Authorization: expect.stringContaining('SignedHeaders=host;x-project-id;x-sdk-date;x-security-token,'),
    });
  });

  it("pass the vendor's own check", async () => {
    freeze();
    const securityToken = fc.option(fc.stringMatching(/^[!-~]{1,100}$/), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(key, securityToken, endpoint, id, date, async (signer, token, address, projectId, at) => {
        jest.setSystemTime(at);
        const url = new URL(address);
        const credential = akskCredential({
          accessKey: new Secret(signer.accessKey),
          secretKey: new Secret(signer.secretKey),
          securityToken: token === undefined ? undefined : new Secret(token),
        });
        expectAsVendor(await credential.authenticate({ method: 'GET', url, projectId }), { url }, signer);
      }),
    );
  });

  it('are signed anew for each attempt, since a signature ages', async () => {
    freeze();
    const credential = akskCredential(permanent);
    const first = await credential.authenticate(AT);
    jest.setSystemTime(NOW + 900_000);
    const second = await credential.authenticate(AT);
    expect(second['X-Sdk-Date']).toBe('20260102T031905Z');
    expect(second.Authorization).not.toBe(first.Authorization);
  });
});

describe('a refused AK/SK credential', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aksk-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const fromFiles = () =>
    akskCredential({
      accessKey: Secret.fromFile(file('ak', AK)),
      secretKey: Secret.fromFile(file('sk', SK)),
      securityToken: Secret.fromFile(file('token', 'first')),
    });

  it('has nothing new to try where it came as values', async () => {
    const credential = akskCredential({ accessKey: new Secret(AK), secretKey: new Secret(SK) });
    expect(credential.refused(await credential.authenticate(AT))).toBe(false);
  });

  it('has nothing new to try where its files are as they were', async () => {
    const credential = fromFiles();
    expect(credential.refused(await credential.authenticate(AT))).toBe(false);
  });

  it.each(['ak', 'sk', 'token'])('has something new to try once where the file %s has changed', async (name) => {
    const credential = fromFiles();
    const old = await credential.authenticate(AT);
    file(name, 'CHANGED');
    expect(credential.refused(old)).toBe(true);
    const renewed = await credential.authenticate(AT);
    expect(renewed.Authorization).not.toBe(old.Authorization);
    expect(credential.refused(renewed)).toBe(false);
  });

  it('signs with all that its files hold now', async () => {
    const credential = fromFiles();
    const old = await credential.authenticate(AT);
    file('ak', 'NEWAK');
    file('sk', 'NEWSK');
    file('token', 'second');
    expect(credential.refused(old)).toBe(true);
    const renewed = await credential.authenticate(AT);
    expect(renewed['X-Security-Token']).toBe('second');
    expectAsVendor(renewed, { url: URL_OF_JOB }, { accessKey: 'NEWAK', secretKey: 'NEWSK' });
  });

  it('has something new to try for each call that was under way with the old key', async () => {
    const credential = fromFiles();
    const [one, other] = [await credential.authenticate(AT), await credential.authenticate(AT)];
    file('ak', 'NEWAK');
    file('sk', 'NEWSK');
    expect(credential.refused(one)).toBe(true);
    expect(credential.refused(other)).toBe(true);
  });

  it('tells all of its secrets, so that they can be kept out of what is told', () => {
    expect(fromFiles().secrets()).toEqual([AK, SK, 'first']);
  });
});
