import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import { createHttpServer } from '../../../src/ops/http/server.js';
import { createLogger } from '../../../src/ops/logger.js';
import { ask } from '../../support/ask.js';
import { eventually } from '../../support/eventually.js';
import { TestRedis, useRedis } from '../../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
const TOKEN = 'a-token-of-some-length';
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

beforeEach(async () => {
  await server.redis.client.flushall();
});

async function running(env: Record<string, string> = {}, log: string[] = []) {
  const simulator = await start.simulator();
  const sidecar = await start.sidecar({ ...environment(server.redis, simulator), ...env }, log);
  await eventually(async () => (await ask(sidecar.url, '/readyz')).status === 200, { what: 'readiness' });
  return { simulator, url: sidecar.url };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` });

describe('POST /v1/jobs', () => {
  it('takes a job, and GET tells how it ended: all that a system with nothing but curl needs', async () => {
    const { simulator, url } = await running();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 2_500, outcome: 'Success' });
    const metadata = { orderId: '42' };
    const enqueued = await ask(url, '/v1/jobs', { method: 'POST', body: { jobId, metadata } });
    expect(enqueued.status).toBe(202);
    expect(enqueued.json).toEqual({
      jobs: [{ projectId: PROJECT, jobId, watchId: null, queueJobId: `${PROJECT}.${jobId}`, state: 'queued' }],
    });

    const path = String(enqueued.headers.location);
    expect((await ask(url, path)).json).toMatchObject({ event: null, jobId });
    const ended = await eventually(async () => {
      const { json } = await ask(url, path);
      return json.state === 'completed' && json;
    });
    expect(ended.event).toEqual((await server.redis.events())[0]);
    expect(ended.event.data.metadata).toEqual(metadata);
    // Once more is no harm, and tells that it has ended.
    const again = await ask(url, '/v1/jobs', { method: 'POST', body: { jobId } });
    expect(again.json.jobs).toMatchObject([{ state: 'completed' }]);
    // A further watch has its own place.
    const watch = await ask(url, '/v1/jobs', { method: 'POST', body: { jobId, watchId: 'w2' } });
    const watched = await eventually(async () => {
      const { json } = await ask(url, String(watch.headers.location));
      return json.state === 'completed' && json;
    });
    expect(watched.event.id).toBe(`${jobId}.w2`);
  });

  it('takes a thousand jobs at once', async () => {
    const { url } = await running();
    const jobs = Array.from({ length: 1_000 }, (_, n) => ({ jobId: `job-${n}`, timeoutMs: 86_400_000 }));
    const { status, json } = await ask(url, '/v1/jobs', { method: 'POST', body: { jobs } });
    expect([status, json.jobs.length]).toEqual([202, 1_000]);
    expect(json.jobs[999]).toMatchObject({ jobId: 'job-999', state: 'queued' });
  });

  it('keeps metadata untouched, even with names that mean something to JavaScript', async () => {
    const { url } = await running();
    const body = '{"jobId":"j","metadata":{"__proto__":{"a":1},"constructor":{"prototype":1},"b":1,"a":2}}';
    const headers = { 'content-type': 'application/json' };
    expect((await ask(url, '/v1/jobs', { method: 'POST', headers, body })).status).toBe(202);
    const data = await server.redis.client.hget(`{cfw}:cfw-jobs:${PROJECT}.j`, 'data');
    expect(data).toContain('{"__proto__":{"a":1},"constructor":{"prototype":1},"b":1,"a":2}');
  });

  it('hands the trace of the request on to the event and the log; a job may have its own', async () => {
    const log: string[] = [];
    const { simulator, url } = await running({ LOG_LEVEL: 'info' }, log);
    const [one, other, none] = [1, 2, 3].map(() => simulator.addJob({ projectId: PROJECT, durationMs: 0 }).jobId);
    const own = TRACE.replace(/01$/, '00');
    const jobs = [{ jobId: one }, { jobId: other, traceparent: own }];
    await ask(url, '/v1/jobs', { method: 'POST', headers: { traceparent: TRACE }, body: { jobs } });
    await ask(url, '/v1/jobs', { method: 'POST', headers: { traceparent: 'broken' }, body: { jobId: none } });

    const events = await server.redis.waitForEvents(3);
    expect(events).toHaveLength(3);
    const traces = Object.fromEntries(events.map(({ subject, traceparent }) => [subject, traceparent]));
    expect(traces).toEqual({ [one ?? '']: TRACE, [other ?? '']: own, [none ?? '']: undefined });
    expect(log.some((line) => line.includes('job accepted') && line.includes(TRACE))).toBe(true);
  });

  const json = { 'content-type': 'application/json' };
  const many = (count: number) =>
    JSON.stringify({ jobs: Array.from({ length: count }, (_, n) => ({ jobId: `j${n}` })) });
  it.each<[string, number, RegExp, Record<string, string>, string]>([
    ['no JSON', 400, /not valid JSON/, json, '{"jobId": "j"'],
    ['no body', 400, /empty/, json, ''],
    ['null', 400, /must be a JSON object/, json, 'null'],
    ['a list', 400, /must be a JSON object/, json, '[{"jobId":"j"}]'],
    ['no jobId', 400, /jobId must be a string/, json, '{}'],
    ['a jobId that is a path', 400, /jobId must be 1 to 64 characters/, json, '{"jobId":"../../v2"}'],
    ['a number as id', 400, /jobId must be a string/, json, '{"jobId":7}'],
    ['a timeout of words', 400, /timeoutMs must be a whole number/, json, '{"jobId":"j","timeoutMs":"5m"}'],
    ['a timeout too long', 400, /timeoutMs must be at most 86400000/, json, '{"jobId":"j","timeoutMs":86400001}'],
    [
      'large metadata',
      400,
      /metadata must have at most 4096/,
      json,
      `{"jobId":"j","metadata":{"a":"${'x'.repeat(5e3)}"}}`,
    ],
    [
      'one wrong job among good ones',
      400,
      /jobs\[1\]\.jobId must be/,
      json,
      '{"jobs":[{"jobId":"a"},{},{"jobId":"b"}]}',
    ],
    ['jobs that are no list', 400, /"jobs" must be an array of 1 to 1000/, json, '{"jobs":{"jobId":"j"}}'],
    ['no jobs', 400, /0 jobs; expected 1 to 1000/, json, '{"jobs":[]}'],
    ['1,001 jobs', 400, /1001 jobs; expected 1 to 1000/, json, many(1_001)],
    ['jobs and a job', 400, /both "jobs" and "jobId"/, json, '{"jobs":[{"jobId":"a"}],"jobId":"b"}'],
    ['2 MB', 413, /more than 1 MiB/, json, `{"jobId":"j","more":"${'x'.repeat(2e6)}"}`],
    ['a form', 415, /Content-Type: application\/json/, { 'content-type': 'text/plain' }, '{"jobId":"j"}'],
    ['a compressed body', 415, /without a Content-Encoding/, { ...json, 'content-encoding': 'gzip' }, '{"jobId":"j"}'],
    ['no content type', 415, /Content-Type: application\/json/, {}, '{"jobId":"j"}'],
  ])('refuses %s with %d, says what to mend and enqueues nothing', async (_what, status, detail, headers, body) => {
    const { url } = await running();
    // Node closes a connection whose body it will not read, which the sender may see first.
    const answer = await eventually(() => ask(url, '/v1/jobs', { method: 'POST', headers, body }));
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.json).toMatchObject({ type: 'about:blank', status, title: expect.any(String) });
    expect(answer.json.detail).toMatch(detail);
    expect(answer.status).toBe(status);
    expect(await server.redis.client.keys('{cfw}:cfw-jobs:*.*')).toEqual([]);
    expect((await ask(url, '/healthz')).status).toBe(200);
  });

  it('takes a body that begins with a byte order mark', async () => {
    const { url } = await running();
    const body = '\ufeff{"jobId":"with-mark"}';
    expect(await ask(url, '/v1/jobs', { method: 'POST', headers: json, body })).toMatchObject({ status: 202 });
  });

  it('lists what is wrong with many jobs, but not without end', async () => {
    const { url } = await running();
    const jobs = Array.from({ length: 1_000 }, () => ({ jobId: '' }));
    const { json } = await ask(url, '/v1/jobs', { method: 'POST', body: { jobs } });
    expect(json.detail).toBe(
      'nothing was enqueued: jobs[0].jobId must be 1 to 64 characters of A-Z a-z 0-9 _ -, and 999 more',
    );
    expect(json.problems).toHaveLength(21);
    expect(json.problems[20]).toBe('and 980 more');
  });
});

describe('GET /v1/jobs/{projectId}/{jobId}', () => {
  it.each<[string, number, RegExp]>([
    [`/v1/jobs/${PROJECT}/unknown`, 404, /not known/],
    [`/v1/jobs/${PROJECT}/a.b`, 400, /^jobId must be/],
    [`/v1/jobs/${PROJECT}/..%2f..%2fhealthz`, 400, /^jobId must be/],
    [`/v1/jobs/..%2f/${'x'.repeat(500)}`, 400, /projectId must be.*jobId must be/],
    [`/v1/jobs/${PROJECT}/j?watchId=a/b`, 400, /^watchId must be/],
    [`/v1/jobs/${PROJECT}/j?watchId=a&watchId=b`, 400, /^watchId must be/],
    [`/v1/jobs/${PROJECT}/%00`, 400, /^jobId must be/],
    [`/v1/jobs/${PROJECT}/%zz`, 400, /^jobId must be/],
    [`/v1/jobs/${PROJECT}`, 404, /nothing here/],
    ['/v1/jobs/../../etc/passwd', 404, /nothing here/],
    ['//healthz', 404, /nothing here/],
  ])('%s: %d', async (path, status, detail) => {
    const { url } = await running();
    const answer = await ask(url, path);
    expect(answer.json.detail).toMatch(detail);
    expect([answer.status, answer.headers['content-type']]).toEqual([
      status,
      'application/problem+json; charset=utf-8',
    ]);
  });

  it('other methods are told what is allowed', async () => {
    const { url } = await running();
    const answers = await Promise.all([
      ask(url, '/v1/jobs', { method: 'DELETE' }),
      ask(url, '/v1/events', { method: 'POST', body: {} }),
      ask(url, `/v1/jobs/${PROJECT}/j`, { method: 'PUT', body: {} }),
      ask(url, '/metrics', { method: 'POST', body: {} }),
    ]);
    expect(answers.map(({ status, headers }) => [status, headers.allow])).toEqual([
      [405, 'GET, HEAD, POST'],
      [405, 'GET, HEAD'],
      [405, 'GET, HEAD, DELETE'],
      [405, 'GET, HEAD'],
    ]);
  });
});

describe('HTTP_TOKEN', () => {
  it('guards everything but health and metrics, in every way of writing the path', async () => {
    const { url } = await running({ HTTP_TOKEN: TOKEN });
    for (const path of ['/healthz', '/readyz', '/metrics']) expect((await ask(url, path)).status).toBe(200);
    const guarded = [
      '/openapi.json',
      '/',
      '/schedule',
      '/page/page.js',
      '/dashboard',
      '/dashboard/',
      '/v1/jobs',
      '/v1/events',
      `/v1/jobs/${PROJECT}/j`,
      '/none',
      '/healthz/',
      '//metrics',
    ];
    for (const path of [...guarded, '/healthz/../openapi.json', '/%6fpenapi.json', '/healthz%2f..%2fopenapi.json']) {
      const { status, headers, json } = await ask(url, path);
      expect([path, status, json.status]).toEqual([path, 401, 401]);
      expect(headers['www-authenticate']).toMatch(/^Bearer realm=.*Basic realm=/);
    }
    expect((await ask(url, '/v1/jobs', { method: 'POST', body: { jobId: 'j' } })).status).toBe(401);
    expect(await server.redis.client.keys('{cfw}:cfw-jobs:*.*')).toEqual([]);
  });

  it.each<[string, Record<string, string>, number]>([
    ['the token', bearer(TOKEN), 200],
    ['the scheme in other letters', { authorization: `bEARER ${TOKEN}` }, 200],
    ['Basic, as browsers send it', basic(`anyone:${TOKEN}`), 200],
    ['Basic without a user', basic(`:${TOKEN}`), 200],
    ['another token', bearer(`${TOKEN}x`), 401],
    ['a part of it', bearer(TOKEN.slice(0, -1)), 401],
    ['an empty one', { authorization: 'Bearer ' }, 401],
    ['Basic with another password', basic('anyone:x'), 401],
    ['Basic with the token as the user', basic(`${TOKEN}:`), 401],
    ['Basic that is no pair', basic(TOKEN), 401],
    ['another scheme', { authorization: `Token ${TOKEN}` }, 401],
    ['the token by itself', { authorization: TOKEN }, 401],
  ])('with %s', async (_what, headers, status) => {
    const { url } = await running({ HTTP_TOKEN: TOKEN });
    const answer = await ask(url, '/openapi.json', { headers });
    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain(TOKEN);
  });
});

describe('web pages', () => {
  it('do not get in by a host name that leads to loopback', async () => {
    const { url } = await running();
    const { port } = new URL(url);
    const by = async (host: string) => (await ask(url, '/openapi.json', { headers: { host } })).status;
    expect(await by(`rebound.example.com:${port}`)).toBe(421);
    expect(await by('127.0.0.1.example.com')).toBe(421);
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]) expect(await by(host)).toBe(200);
    const body = { jobId: 'j' };
    const post = await ask(url, '/v1/jobs', { method: 'POST', headers: { host: 'rebound.example.com' }, body });
    expect(post.status).toBe(421);
  });

  it('of other origins may not send anything', async () => {
    const { url } = await running();
    const by = async (origin: string) =>
      (await ask(url, '/v1/jobs', { method: 'POST', headers: { origin }, body: { jobId: 'j' } })).status;
    for (const origin of ['https://example.com', 'null', 'http://127.0.0.1:1']) expect(await by(origin)).toBe(403);
    const headers = { origin: 'https://example.com' };
    expect((await ask(url, `/v1/jobs/${PROJECT}/j`, { method: 'DELETE', headers })).status).toBe(403);
    expect(await server.redis.client.keys('{cfw}:cfw-jobs:*.*')).toEqual([]);
    expect(await by(url)).toBe(202);
  });
});

it('a fault of ours is answered as documented, and told by the log only', async () => {
  const fault = async () => {
    throw new Error('inner workings');
  };
  let log = '';
  const logger = createLogger('error', { write: (line) => (log += line) });
  const http = createHttpServer({ metrics: fault, readiness: fault, logger } as never);
  const url = await http.listen({ host: '127.0.0.1', port: 0 });
  try {
    for (const path of ['/metrics', '/readyz']) {
      const { status, text } = await ask(url, path);
      expect([status, text]).toEqual([500, expect.not.stringContaining('inner workings')]);
    }
  } finally {
    await http.close();
  }
  expect(log).toContain('inner workings');
});

describe('GET /openapi.json', () => {
  it('is a sound OpenAPI 3.1 document of all routes, by the schemas that check them', async () => {
    const { url } = await running();
    const { json } = await ask(url, '/openapi.json');
    expect(await new Validator().validate(structuredClone(json))).toMatchObject({ valid: true });
    expect(json.openapi).toMatch(/^3\.1\./);
    expect(Object.keys(json.paths)).toEqual([
      '/v1/jobs',
      '/v1/jobs/{projectId}/{jobId}',
      '/v1/events',
      '/healthz',
      '/readyz',
      '/metrics',
    ]);
    const [job, jobs] = json.components.schemas.EnqueueBody.anyOf;
    expect(job.required).toEqual(['jobId']);
    expect(job.properties.jobId).toMatchObject({ type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' });
    expect(jobs.properties.jobs).toMatchObject({ type: 'array', minItems: 1, maxItems: 1_000 });
  });
});

describe('while Redis is away', () => {
  it('requests are told so in time, nothing hangs, and all goes on by itself', async () => {
    const redis = await TestRedis.start({ appendOnly: true });
    start.onEnd(() => redis.stop());
    const simulator = await start.simulator();
    const { url } = await start.sidecar(environment(redis, simulator));
    await eventually(async () => (await ask(url, '/readyz')).status === 200);
    await redis.crash();
    const unready = await eventually(async () => {
      const answer = await ask(url, '/readyz');
      return answer.status === 503 && answer.json;
    });
    expect(unready).toMatchObject({
      ready: false,
      checks: { redis: { ok: false, error: expect.any(String), lastError: { at: expect.any(String) } } },
    });
    const post = await ask(url, '/v1/jobs', { method: 'POST', body: { jobId: 'j' } });
    expect([post.status, post.headers['retry-after']]).toEqual([503, '2']);
    expect(post.json.detail).toMatch(/Redis is away/);
    expect((await ask(url, `/v1/jobs/${PROJECT}/j`)).status).toBe(503);
    expect((await ask(url, '/healthz')).status).toBe(200);
    const { status, text } = await ask(url, '/metrics');
    expect(status).toBe(200);
    expect(text).toContain('cfw_job_poller_check_ok{check="redis"} 0');
    expect(text).not.toMatch(/^cfw_job_poller_stream_entries \d/m);

    await redis.restart();
    await eventually(async () => (await ask(url, '/readyz')).status === 200);
    expect((await ask(url, '/readyz')).json.checks.redis).toMatchObject({
      ok: true,
      error: null,
      lastError: { error: expect.any(String) },
    });
    expect((await ask(url, '/v1/jobs', { method: 'POST', body: { jobId: 'j' } })).status).toBe(202);
  });

  it('that does not answer is no reason to wait for ever', async () => {
    const redis = await TestRedis.start();
    start.onEnd(() => redis.stop());
    const { url } = await start.sidecar(environment(redis, await start.simulator()));
    await eventually(async () => (await ask(url, '/readyz')).status === 200);
    redis.process.kill('SIGSTOP');
    try {
      const [post, ready] = await Promise.all([
        ask(url, '/v1/jobs', { method: 'POST', body: { jobId: 'j' } }),
        ask(url, '/readyz'),
      ]);
      expect([post.status, ready.status]).toEqual([503, 503]);
      expect(post.json.detail).toMatch(/sending them again is safe/);
      expect(ready.json.checks.redis.error).toMatch(/no answer within/);
    } finally {
      redis.process.kill('SIGCONT');
    }
    await sleep(100);
    await eventually(async () => (await ask(url, '/readyz')).status === 200);
  });
});
