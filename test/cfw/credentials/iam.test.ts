import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type Credential, CredentialError } from '../../../src/cfw/credentials/credential.js';
import { iamCredential } from '../../../src/cfw/credentials/iam.js';
import { createHttp } from '../../../src/cfw/http.js';
import { Secret } from '../../../src/lib/secret.js';
import { type Simulator, startSimulator } from '../../../src/simulator/index.js';
import { eventually } from '../../support/eventually.js';
import { useServers } from '../servers.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const servers = useServers();
const { http, close } = createHttp({ requestTimeoutMs: 10_000, proxy: undefined });
afterAll(close);

/** The clock that tokens and pauses go by, which is no clock that anybody sets; here it can be put ahead. */
let ahead = 0;
const advance = (milliseconds: number) => {
  ahead += milliseconds;
};
let simulator: Simulator;
beforeEach(async () => {
  const now = performance.now.bind(performance);
  ahead = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => now() + ahead);
  simulator = await startSimulator();
});
afterEach(async () => {
  await simulator.stop();
  jest.restoreAllMocks();
});

function credentialFor(authUrl: string, password = new Secret(simulator.iam.password)): Credential {
  const user = { name: simulator.iam.user, domain: { name: simulator.iam.domain } };
  return iamCredential({ authUrl, identity: { method: 'password', user, password } }, http);
}
const simulated = () => credentialFor(`${simulator.url}/v3`);
const simulatedWrong = () => credentialFor(`${simulator.url}/v3`, new Secret('not-the-password'));

const tokenFrom = async (credential: Credential, projectId = 'p1'): Promise<string> => {
  const headers = await credential.authenticate({ method: 'GET', url: new URL('https://cfw.example.com'), projectId });
  expect(Object.keys(headers)).toEqual(['X-Auth-Token']);
  return headers['X-Auth-Token'] as string;
};

async function troubleFrom(credential: Credential, projectId = 'p1'): Promise<CredentialError> {
  const trouble = await tokenFrom(credential, projectId).catch((error: unknown) => error);
  if (trouble instanceof CredentialError) return trouble;
  throw new Error('there was a token', { cause: trouble instanceof Error ? trouble : undefined });
}

const isRefused = (credential: Credential, token: string) => credential.refused({ 'X-Auth-Token': token });

/** Sends what Keystone sends with a token. */
function giveToken(response: ServerResponse, token: string, lifeMs = 24 * HOUR, more: object = {}): void {
  const issuedAt = Date.now();
  response.writeHead(201, { 'content-type': 'application/json', 'x-subject-token': token }).end(
    JSON.stringify({
      token: {
        issued_at: new Date(issuedAt).toISOString(),
        expires_at: new Date(issuedAt + lifeMs).toISOString(),
        ...more,
      },
    }),
  );
}

/** An IAM that answers as told, by the number of the request; it counts them. */
async function ownIam(answer: (response: ServerResponse, call: number) => void) {
  const calls: { at: number; url: string | undefined }[] = [];
  const url = await servers.http((request, response) => {
    request.resume().on('end', () => {
      calls.push({ at: performance.now(), url: request.url });
      answer(response, calls.length);
    });
  });
  return { calls, credential: credentialFor(`${url}/v3`) };
}

/** Asks once a second for a while; what comes of it does not matter. */
async function askEverySecond(credential: Credential, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await tokenFrom(credential).catch(() => {});
    advance(SECOND);
  }
}

describe('a token', () => {
  it('is fetched once for a thousand simultaneous polls', async () => {
    const credential = simulated();
    const tokens = await Promise.all(Array.from({ length: 1_000 }, () => tokenFrom(credential)));
    expect(new Set(tokens).size).toBe(1);
    expect(simulator.iam.check(tokens[0] as string, 'p1')).toBe('good');
    expect(simulator.iam.calls).toHaveLength(1);
  });

  it('is one for each project', async () => {
    const credential = simulated();
    const projects = ['p1', 'p2', 'p3', 'p4', 'p5'];
    const polls = Array.from({ length: 100 }, () => projects).flat();
    const tokens = await Promise.all(polls.map((projectId) => tokenFrom(credential, projectId)));
    expect(simulator.iam.calls.map(({ projectId }) => projectId)).toEqual(projects);
    expect(polls.map((projectId, n) => simulator.iam.check(tokens[n] as string, projectId))).not.toContain(
      'other-project',
    );
    expect(new Set(tokens).size).toBe(projects.length);
  });

  it('is asked for without the catalog, which is long', async () => {
    const iam = await ownIam((response) => giveToken(response, 'token'));
    await tokenFrom(iam.credential);
    expect(iam.calls.map(({ url }) => url)).toEqual(['/v3/auth/tokens?nocatalog=true']);
  });

  it('may be longer than what Node takes for all headers', async () => {
    const long = 'x'.repeat(20_000);
    const iam = await ownIam((response) => giveToken(response, long));
    expect(await tokenFrom(iam.credential)).toBe(long);
  });

  it('is renewed 10 minutes ahead of its end', async () => {
    const credential = simulated();
    const first = await tokenFrom(credential);
    advance(24 * HOUR - 11 * MINUTE);
    expect(await tokenFrom(credential)).toBe(first);
    advance(2 * MINUTE);
    expect(await tokenFrom(credential)).toBe(first);
    await eventually(async () => (await tokenFrom(credential)) !== first, { what: 'another token' });
    expect(simulator.iam.calls).toHaveLength(2);
  });

  it('is renewed ahead of its end where it does not live that long', async () => {
    simulator.iam.tokenLifeMs = 4 * MINUTE;
    const credential = simulated();
    const first = await tokenFrom(credential);
    advance(2 * MINUTE);
    expect(await tokenFrom(credential)).toBe(first);
    advance(MINUTE);
    expect(await tokenFrom(credential)).toBe(first);
    await eventually(async () => (await tokenFrom(credential)) !== first, { what: 'another token' });
    expect(simulator.iam.calls).toHaveLength(2);
  });

  it('is used while the next one is fetched, once, and replaced by it', async () => {
    let held: ServerResponse | undefined;
    const iam = await ownIam((response, call) => {
      if (call === 1) giveToken(response, 'first');
      else held = response;
    });
    await tokenFrom(iam.credential);
    advance(24 * HOUR - 5 * MINUTE);
    const response = await eventually(async () => {
      expect(await tokenFrom(iam.credential)).toBe('first');
      return held;
    });
    expect(await Promise.all(Array.from({ length: 100 }, () => tokenFrom(iam.credential)))).not.toContain('second');
    giveToken(response, 'second');
    await eventually(async () => (await tokenFrom(iam.credential)) === 'second', { what: 'the second token' });
    expect(iam.calls).toHaveLength(2);
  });

  it('is used to its end, and no longer, where it cannot be renewed', async () => {
    const iam = await ownIam((response, call) => {
      if (call === 1) giveToken(response, 'first');
      else response.writeHead(503).end();
    });
    await tokenFrom(iam.credential);
    advance(24 * HOUR - 10 * MINUTE);
    for (let n = 0; n < 100; n += 1) {
      expect(await tokenFrom(iam.credential)).toBe('first');
      // Fetches wait for one another: the renewal that has just begun has failed when this one has.
      await troubleFrom(iam.credential, 'p2');
      advance(5 * SECOND);
    }
    expect(iam.calls.length).toBeGreaterThan(2);
    // 500 s of failures: the pauses are at their longest by now.
    expect(iam.calls.length).toBeLessThan(20);
    advance(2 * MINUTE);
    expect(await troubleFrom(iam.credential)).toMatchObject({ httpStatus: 503, refused: false });
  });

  it.each([-26 * HOUR, -5 * MINUTE, 5 * MINUTE, 26 * HOUR])(
    'lives as long as IAM says where its clock is %d ms off',
    async (offset) => {
      simulator.iam.clockOffsetMs = offset;
      simulator.iam.tokenLifeMs = HOUR;
      const credential = simulated();
      const first = await tokenFrom(credential);
      advance(40 * MINUTE);
      expect(await tokenFrom(credential)).toBe(first);
      expect(simulator.iam.calls).toHaveLength(1);
      advance(20 * MINUTE);
      expect(await tokenFrom(credential)).not.toBe(first);
    },
  );

  it.each<readonly [string, object, string | undefined]>([
    ['no time of issue', { issued_at: undefined }, undefined],
    ['no times', { issued_at: undefined, expires_at: undefined }, undefined],
    ['times that nobody can read', { issued_at: 'now', expires_at: 'then' }, undefined],
    ['an end before its beginning', { expires_at: '2001-01-01T00:00:00.000000Z' }, undefined],
  ])('is not fetched for each poll where IAM tells %s', async (_what, times) => {
    const iam = await ownIam((response, call) => giveToken(response, `token-${call}`, HOUR, times));
    for (let n = 0; n < 100; n += 1) expect(await tokenFrom(iam.credential)).toBe('token-1');
    expect(iam.calls).toHaveLength(1);
  });
});

describe('a token that CFW has refused', () => {
  it('is fetched anew, once for all who were refused', async () => {
    const credential = simulated();
    const first = await tokenFrom(credential);
    simulator.iam.revoke();
    for (let n = 0; n < 100; n += 1) expect(isRefused(credential, first)).toBe(true);
    const tokens = await Promise.all(Array.from({ length: 100 }, () => tokenFrom(credential)));
    expect(new Set(tokens).size).toBe(1);
    expect(tokens[0]).not.toBe(first);
    expect(simulator.iam.calls).toHaveLength(2);
  });

  it('is not fetched anew for ever: a second one that is refused too is a refusal', async () => {
    const credential = simulated();
    expect(isRefused(credential, await tokenFrom(credential))).toBe(true);
    expect(isRefused(credential, await tokenFrom(credential))).toBe(false);
    expect(isRefused(credential, await tokenFrom(credential))).toBe(false);
  });

  it('is fetched anew at once again after the one before had been good for a while', async () => {
    const credential = simulated();
    expect(isRefused(credential, await tokenFrom(credential))).toBe(true);
    const second = await tokenFrom(credential);
    advance(HOUR);
    expect(isRefused(credential, second)).toBe(true);
    expect(simulator.iam.check(await tokenFrom(credential), 'p1')).toBe('good');
  });

  it('is no refusal where its short life is over', async () => {
    simulator.iam.tokenLifeMs = 4 * SECOND;
    const credential = simulated();
    expect(isRefused(credential, await tokenFrom(credential))).toBe(true);
    const second = await tokenFrom(credential);
    advance(3_500);
    expect(isRefused(credential, second)).toBe(true);
  });

  it('leaves the tokens of other projects alone', async () => {
    const credential = simulated();
    const [one, other] = [await tokenFrom(credential, 'p1'), await tokenFrom(credential, 'p2')];
    isRefused(credential, one);
    expect(await tokenFrom(credential, 'p2')).toBe(other);
    expect(await tokenFrom(credential, 'p1')).not.toBe(one);
  });
});

describe('an IAM that is in trouble', () => {
  it('is not asked again before the time it names, however many polls ask', async () => {
    simulator.iam.script([{ fault: 'throttled', code: 'IAM.0012', message: 'too many', retryAfter: '30' }]);
    const credential = simulated();
    for (let n = 0; n < 300; n += 1) {
      const trouble = await troubleFrom(credential, `p${n % 3}`);
      expect(trouble).toMatchObject({ code: 'IAM.0012', httpStatus: 429, refused: false, retryAfterMs: 30_000 });
      advance(90);
    }
    expect(simulator.iam.calls).toHaveLength(1);
    advance(30 * SECOND);
    await tokenFrom(credential);
    expect(simulator.iam.calls).toHaveLength(2);
  });

  it('is asked after growing pauses of at most a minute', async () => {
    const iam = await ownIam((response) => response.writeHead(503).end('<html>'));
    await askEverySecond(iam.credential, 1_200);
    const pauses = iam.calls.slice(1).map(({ at }, n) => at - (iam.calls[n]?.at ?? 0));
    // 1, 2, 4 … s, then a minute each; asked once a second, the next second is the earliest.
    expect(iam.calls.length).toBeLessThan(30);
    expect(Math.max(...pauses)).toBeLessThan(65 * SECOND);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(SECOND);
    expect(await troubleFrom(iam.credential)).toMatchObject({ code: 'IAM_HTTP_503', httpStatus: 503, refused: false });
  });

  it('is asked with the shortest pause again after it had recovered', async () => {
    const iam = await ownIam((response, call) => {
      if (call === 8) giveToken(response, 'token');
      else response.writeHead(503).end();
    });
    await askEverySecond(iam.credential, 300);
    expect(await tokenFrom(iam.credential)).toBe('token');
    await troubleFrom(iam.credential, 'p2');
    advance(1_500);
    await troubleFrom(iam.credential, 'p2');
    expect(iam.calls).toHaveLength(10);
  });

  it('is asked once by all projects together while it is away', async () => {
    await simulator.stop();
    const credential = simulated();
    const troubles = await Promise.all(Array.from({ length: 50 }, (_, n) => troubleFrom(credential, `p${n}`)));
    expect(troubles[0]).toMatchObject({ code: 'ECONNREFUSED', httpStatus: null, refused: false });
    // The very same trouble: nobody else has tried.
    expect(new Set(troubles).size).toBe(1);
  });

  it.each<readonly [string, number, string]>([
    ['a token without a token', 201, '{"token": {}}'],
    ['another status', 200, '{"token": {}}'],
    ['HTML', 502, '<html>'],
    ['nothing', 500, ''],
  ])('is unavailable, and not refusing us, where it answers with %s', async (_what, status, body) => {
    const iam = await ownIam((response) => response.writeHead(status).end(body));
    expect(await troubleFrom(iam.credential)).toMatchObject({ refused: false, httpStatus: status });
  });
});

describe('a wrong password', () => {
  it('is a refusal that says what IAM said', async () => {
    expect(await troubleFrom(simulatedWrong())).toMatchObject({
      refused: true,
      code: 'IAM.0062',
      httpStatus: 401,
      message: 'IAM gives no token: The username or password is wrong.',
    });
  });

  it('is tried once, however many projects ask at the same time', async () => {
    const credential = simulatedWrong();
    const troubles = await Promise.all(Array.from({ length: 200 }, (_, n) => troubleFrom(credential, `p${n % 20}`)));
    expect(troubles.every(({ refused }) => refused)).toBe(true);
    expect(simulator.iam.calls).toHaveLength(1);
  });

  it('is tried at most twice within any 15 minutes, however often it is asked for', async () => {
    const iam = await ownIam((response) =>
      response.writeHead(401).end('{"error_code":"IAM.0062","error_msg":"The username or password is wrong."}'),
    );
    await askEverySecond(iam.credential, 3_600);
    expect(iam.calls.length).toBeGreaterThan(3);
    iam.calls.slice(2).forEach(({ at }, n) => {
      expect(at - (iam.calls[n]?.at ?? 0)).toBeGreaterThan(15 * MINUTE);
    });
  });

  it('does not hurt while there is a token', async () => {
    const credential = simulated();
    const token = await tokenFrom(credential);
    simulator.iam.password = 'another';
    await troubleFrom(credential, 'p2');
    expect(await tokenFrom(credential)).toBe(token);
  });

  it('is tried again at once when its file has changed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'iam-'));
    const file = join(folder, 'password');
    writeFileSync(file, 'wrong');
    const credential = credentialFor(`${simulator.url}/v3`, Secret.fromFile(file));
    let changes = 0;
    const stop = credential.watch(() => {
      changes += 1;
    });
    try {
      await troubleFrom(credential);
      const change = () => {
        // Written again and again, since who watches a file has to have seen what it was like before.
        writeFileSync(file, `${simulator.iam.password}\n`);
        return changes > 0;
      };
      await eventually(change, { what: 'that the file has changed' });
      expect(simulator.iam.check(await tokenFrom(credential), 'p1')).toBe('good');
      expect(credential.secrets()).toEqual([simulator.iam.password]);
    } finally {
      stop();
      rmSync(folder, { recursive: true });
    }
  });
});

describe('a project that the user has no role in', () => {
  it('does not hurt the other projects', async () => {
    simulator.iam.projects = ['p1', 'p2'];
    const credential = simulated();
    await tokenFrom(credential, 'p1');
    expect(await troubleFrom(credential, 'none')).toMatchObject({ refused: false, httpStatus: 401 });
    expect(simulator.iam.check(await tokenFrom(credential, 'p2'), 'p2')).toBe('good');
  });

  it('is asked for again after growing pauses only', async () => {
    simulator.iam.projects = ['p1'];
    const credential = simulated();
    await tokenFrom(credential, 'p1');
    const before = simulator.iam.calls.length;
    for (let second = 0; second < 900; second += 1) {
      await troubleFrom(credential, 'none');
      advance(SECOND);
    }
    expect(simulator.iam.calls.length - before).toBeLessThan(5);
  });
});

describe('plain Keystone', () => {
  const keystone = (status: number, message: string) =>
    JSON.stringify({ error: { code: status, title: 'no', message } });

  it.each([400, 401, 403, 404])('refuses us with %d and its own form of errors', async (status) => {
    const iam = await ownIam((response) => response.writeHead(status).end(keystone(status, 'requires authentication')));
    expect(await troubleFrom(iam.credential)).toMatchObject({
      code: `IAM_HTTP_${status}`,
      httpStatus: status,
      message: 'IAM gives no token: requires authentication',
      refused: true,
    });
  });

  it('does not hurt other projects by one that the user has no role in', async () => {
    const iam = await ownIam((response, call) => {
      if (call === 2) response.writeHead(401).end(keystone(401, 'requires authentication'));
      else giveToken(response, `token-${call}`);
    });
    await tokenFrom(iam.credential, 'p1');
    expect(await troubleFrom(iam.credential, 'none')).toMatchObject({ refused: false, httpStatus: 401 });
    expect(await tokenFrom(iam.credential, 'p2')).toBe('token-3');
    await troubleFrom(iam.credential, 'none');
    expect(iam.calls).toHaveLength(3);
  });
});
