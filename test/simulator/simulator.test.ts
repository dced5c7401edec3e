import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import got, { type OptionsInit } from 'got';
import { type Fault, type JobScript, type Simulator, startSimulator } from '../../src/simulator/index.js';

const HOUR = 3_600_000;
const BEGIN = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const END = BEGIN + 14_000;

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(() => simulator.stop());

interface Answer {
  readonly statusCode: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

/** Calls as a client does; the body is text, since some answers are no JSON. */
async function call(path: string, options: OptionsInit = {}): Promise<Answer> {
  const { statusCode, headers, body } = await got(`${simulator.url}${path}`, {
    headers: { 'x-auth-token': simulator.token, 'content-type': 'application/json' },
    throwHttpErrors: false,
    retry: { limit: 0 },
    ...options,
    isStream: false,
    responseType: 'text',
  });
  return { statusCode, headers, body: String(body) };
}

let ids = 0;
function addJob(script: Partial<JobScript> = {}) {
  ids += 1;
  return simulator.addJob({ projectId: 'p', jobId: `job-${ids}`, outcome: 'Success', durationMs: 0, ...script });
}

const ask = (job: { jobId: string }, options?: OptionsInit) => call(`/v3/p/jobs/${job.jobId}`, options);
const dataOf = ({ body }: Answer) => JSON.parse(body).data;
const errorOf = ({ statusCode, body }: Answer) => {
  const { error_code, error_msg } = JSON.parse(body);
  return [statusCode, error_code, error_msg];
};

describe('a job of the simulator', () => {
  it.each(['Success', 'Failed'] as const)('ends as scripted: %s', async (outcome) => {
    const job = addJob({ outcome });
    const answer = await ask(job);
    expect(answer.statusCode).toBe(200);
    expect(dataOf(answer)).toMatchObject({ id: job.jobId, status: outcome });
  });

  it('runs as long as scripted', async () => {
    const job = addJob({ durationMs: HOUR });
    expect(dataOf(await ask(job)).status).toBe('Running');
    expect(job.endsAt).toBeGreaterThan(Date.now());
  });

  it.each([
    ['epoch', BEGIN, END],
    ['utc', '2026-01-02T03:04:05Z', '2026-01-02T03:04:19Z'],
    ['offset', '2026-01-02T11:04:05+0800', '2026-01-02T11:04:19+0800'],
  ] as const)('tells times in the format %s', async (timeFormat, begin_time, end_time) => {
    const job = addJob({ timeFormat, beginTime: BEGIN, endTime: END });
    expect(dataOf(await ask(job))).toEqual({ id: job.jobId, status: 'Success', begin_time, end_time });
  });

  it.each([
    ['missing', 'epoch', {}],
    ['null', 'utc', { end_time: null }],
    ['empty', 'offset', { end_time: '' }],
  ] as const)('has an end_time that is %s while it runs (%s)', async (_how, timeFormat, end) => {
    const job = addJob({ timeFormat, beginTime: BEGIN, durationMs: HOUR });
    const { begin_time, ...others } = dataOf(await ask(job));
    expect(begin_time).toBeTruthy();
    expect(others).toEqual({ id: job.jobId, status: 'Running', ...end });
  });

  it('is unknown where it was never made, or belongs to another project', async () => {
    const job = addJob();
    for (const path of ['/v3/p/jobs/never-made', `/v3/other/jobs/${job.jobId}`]) {
      expect(errorOf(await call(path))).toEqual([404, 'CFW.00200005', 'The object does not exist.']);
    }
    expect(job.callTimes).toHaveLength(0);
  });

  it('counts its calls, those that went wrong included', async () => {
    const job = addJob({ faults: [{ fault: 'unavailable' }] });
    const before = simulator.calls();
    for (let n = 0; n < 3; n += 1) await ask(job);
    expect(job.callTimes).toHaveLength(3);
    expect(simulator.calls() - before).toBe(3);

    const { body } = await call(`/simulator/jobs/p/${job.jobId}`);
    const [firstCallAt, , lastCallAt] = job.callTimes;
    expect(JSON.parse(body)).toMatchObject({ jobId: job.jobId, calls: 3, firstCallAt, lastCallAt });
  });
});

describe('drawn jobs', () => {
  it('have log-normal durations around the median, and fail as often as told', async () => {
    // Box-Muller turns these two numbers into 0, so the duration is the median itself.
    const numbers = [0.5, 0.25, 0.3, 0.99];
    let next = 0;
    const other = await startSimulator({
      medianMs: 7_000,
      failureShare: 0.5,
      random: () => numbers[next++ % numbers.length] as number,
    });
    try {
      const job = other.addJob({ projectId: 'p' });
      expect(job.outcome).toBe('Failed');
      expect(Math.abs(job.endTime - job.beginTime - 7_000)).toBeLessThanOrEqual(1);
    } finally {
      await other.stop();
    }
  });

  it('never fail with a share of 0, always with 1', async () => {
    for (const [failureShare, outcome] of [
      [0, 'Success'],
      [1, 'Failed'],
    ] as const) {
      const other = await startSimulator({ failureShare });
      try {
        const outcomes = Array.from({ length: 50 }, () => other.addJob({ projectId: 'p' }).outcome);
        expect(new Set(outcomes)).toEqual(new Set([outcome]));
      } finally {
        await other.stop();
      }
    }
  });
});

describe('a fault', () => {
  it.each<[Fault['fault'], number, string]>([
    ['not-found', 404, 'CFW.00200005'],
    ['throttled', 429, 'APIGW.0308'],
    ['unavailable', 503, 'APIGW.0605'],
    ['busy', 400, 'CFW.00100001'],
    ['unauthorized', 401, 'APIGW.0301'],
    ['denied', 403, 'APIGW.0302'],
    ['invalid', 400, 'APIGW.0106'],
    ['error', 500, 'CFW.00500002'],
  ])('%s answers %d with %s once, and then all is well', async (fault, httpStatus, code) => {
    const job = addJob({ faults: [{ fault }] });
    expect(errorOf(await ask(job))).toEqual([httpStatus, code, expect.stringMatching(/\w/)]);
    expect(dataOf(await ask(job)).status).toBe('Success');
  });

  it('throttled names limit and window, as the gateway does', async () => {
    const [, , message] = errorOf(await ask(addJob({ faults: [{ fault: 'throttled' }] })));
    expect(message).toContain('policy user over ratelimit,limit:200,time:1 second');
  });

  it('can have a status, a code, a message and a Retry-After of its own', async () => {
    const job = addJob({
      faults: [{ fault: 'error', httpStatus: 403, code: 'APIG.0502', message: 'frozen', retryAfter: '7' }],
    });
    const answer = await ask(job);
    expect(errorOf(answer)).toEqual([403, 'APIG.0502', 'frozen']);
    expect(answer.headers['retry-after']).toBe('7');
  });

  it('status tells a status that nobody documented', async () => {
    const job = addJob({ faults: [{ fault: 'status' }, { fault: 'status', status: 'Queued' }] });
    expect(dataOf(await ask(job))).toMatchObject({ id: job.jobId, status: 'Pending' });
    expect(dataOf(await ask(job)).status).toBe('Queued');
    expect(dataOf(await ask(job)).status).toBe('Success');
  });

  it('slow answers late', async () => {
    const job = addJob({
      faults: [
        { fault: 'slow', delayMs: 600_000 },
        { fault: 'slow', delayMs: 1 },
      ],
    });
    // Long enough that the first fault surely meets this call.
    await expect(ask(job, { timeout: { request: 1_500 } })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    expect(dataOf(await ask(job)).status).toBe('Success');
  });

  it('html answers as a proxy in between does', async () => {
    const answer = await ask(addJob({ faults: [{ fault: 'html' }] }));
    expect(answer.statusCode).toBe(502);
    expect(answer.headers['content-type']).toContain('text/html');
    expect(answer.body).toContain('<html>');
  });

  it('empty answers without a body', async () => {
    const job = addJob({ faults: [{ fault: 'empty' }, { fault: 'empty', httpStatus: 200 }] });
    expect(await ask(job)).toMatchObject({ statusCode: 502, body: '' });
    expect(await ask(job)).toMatchObject({ statusCode: 200, body: '' });
  });

  it.each(['truncated', 'garbage'] as const)('%s answers 200 with what is no JSON', async (fault) => {
    const answer = await ask(addJob({ faults: [{ fault }] }));
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-type']).toContain('application/json');
    expect(answer.body).not.toBe('');
    expect(() => JSON.parse(answer.body)).toThrow();
  });

  it('truncated begins as the whole answer does', async () => {
    const job = addJob({ faults: [{ fault: 'truncated' }] });
    const [half, whole] = [(await ask(job)).body, (await ask(job)).body];
    expect(whole.startsWith(half)).toBe(true);
  });

  it('huge answers with megabytes', async () => {
    expect((await ask(addJob({ faults: [{ fault: 'huge' }] }))).body.length).toBeGreaterThan(1_000_000);
  });

  it('drop closes the connection without an answer', async () => {
    const job = addJob({ faults: [{ fault: 'drop' }] });
    await expect(ask(job)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(dataOf(await ask(job)).status).toBe('Success');
  });

  it('meets as many calls as told, one fault after the other', async () => {
    const job = addJob({ faults: [{ fault: 'throttled', times: 2 }, { fault: 'unavailable' }] });
    const statusCodes: number[] = [];
    for (let n = 0; n < 5; n += 1) statusCodes.push((await ask(job)).statusCode);
    expect(statusCodes).toEqual([429, 429, 503, 200, 200]);
  });

  it('meets every call for a while, and none after it', async () => {
    const long = addJob({ faults: [{ fault: 'unavailable', forMs: HOUR }] });
    for (let n = 0; n < 3; n += 1) expect((await ask(long)).statusCode).toBe(503);

    const short = addJob({ faults: [{ fault: 'unavailable', forMs: 1 }] });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await ask(short)).statusCode).toBe(200);
  });
});

describe('the API', () => {
  it.each([{}, { 'x-auth-token': 'wrong' }])('refuses a call with the token %j, and counts it', async (token) => {
    const job = addJob();
    const before = simulator.calls();
    const answer = await ask(job, { headers: { 'content-type': 'application/json', ...token } });
    expect(errorOf(answer)).toEqual([401, 'APIGW.0301', expect.any(String)]);
    expect(simulator.calls() - before).toBe(1);
    expect(job.callTimes).toHaveLength(0);
  });

  it('takes the token that it is started with, and no other', async () => {
    const other = await startSimulator({ token: 'another-token' });
    try {
      const { jobId } = other.addJob({ projectId: 'p' });
      const statusWith = async (token: string) =>
        (
          await got(`${other.url}/v3/p/jobs/${jobId}`, {
            headers: { 'x-auth-token': token, 'content-type': 'application/json' },
            throwHttpErrors: false,
          })
        ).statusCode;
      expect(await statusWith('another-token')).toBe(200);
      expect(await statusWith(simulator.token)).toBe(401);
    } finally {
      await other.stop();
    }
  });

  it('allows no Content-Type but application/json, on a GET too', async () => {
    const answer = await ask(addJob(), { headers: { 'x-auth-token': simulator.token } });
    expect(errorOf(answer)).toEqual([400, 'APIGW.0106', expect.stringContaining('Content-Type')]);
    const headers = { 'x-auth-token': simulator.token, 'content-type': 'application/json;charset=UTF-8' };
    expect((await ask(addJob(), { headers })).statusCode).toBe(200);
  });

  it('creates a firewall, whose id is that of its job', async () => {
    const answer = await call('/v2/p/firewall', { method: 'POST', body: JSON.stringify({ name: 'fw-1' }) });
    expect(answer.statusCode).toBe(200);
    const { job_id, data } = JSON.parse(answer.body);
    expect(data).toEqual({ id: job_id, name: 'fw-1' });
    expect(dataOf(await call(`/v3/p/jobs/${job_id}`))).toMatchObject({ id: job_id });
  });

  it('creates no firewall without the token, nor in a project with an illegal id', async () => {
    const before = simulator.jobs().length;
    const options = { method: 'POST', body: '{}' } as const;
    const refused = await call('/v2/p/firewall', { ...options, headers: { 'content-type': 'application/json' } });
    expect(refused.statusCode).toBe(401);
    expect((await call('/v2/not.an.id/firewall', options)).statusCode).toBe(400);
    expect(simulator.jobs()).toHaveLength(before);
  });
});

const byPassword = (user: object) => ({ identity: { methods: ['password'], password: { user } } });
const byApplication = (application_credential: object) => ({
  identity: { methods: ['application_credential'], application_credential },
});

describe('IAM', () => {
  const askFor = async (project: object | undefined, password = simulator.iam.password) => {
    const user = { name: simulator.iam.user, password, domain: { name: simulator.iam.domain } };
    const scope = project === undefined ? {} : { scope: { project } };
    const body = { auth: { identity: { methods: ['password'], password: { user } }, ...scope } };
    return await call('/v3/auth/tokens', { method: 'POST', body: JSON.stringify(body) });
  };

  it.each([{ id: 'p' }, { name: 'p', domain: { name: 'any' } }])(
    'gives a token for the project %j',
    async (project) => {
      const { statusCode, headers, body } = await askFor(project);
      expect([statusCode, JSON.parse(body).token.project.id]).toEqual([201, 'p']);
      expect(simulator.iam.check(String(headers['x-subject-token']), 'p')).toBe('good');
      expect(simulator.iam.check(String(headers['x-subject-token']), 'q')).toBe('other-project');
    },
  );

  it('refuses a wrong password', async () => {
    expect(errorOf(await askFor({ id: 'p' }, 'wrong'))).toEqual([401, 'IAM.0062', expect.any(String)]);
  });

  it('gives an unscoped token for a request that names no project, which is good for none', async () => {
    const { statusCode, headers, body } = await askFor(undefined);
    expect([statusCode, JSON.parse(body).token.project]).toEqual([201, undefined]);
    expect(simulator.iam.check(String(headers['x-subject-token']), 'p')).toBe('other-project');
  });

  const login = async (auth: object) => {
    const { statusCode, headers, body } = await call('/v3/auth/tokens', {
      method: 'POST',
      body: JSON.stringify({ auth }),
    });
    return { statusCode, token: JSON.parse(body).token, id: String(headers['x-subject-token']) };
  };

  it.each<[string, (iam: Simulator['iam']) => object, object]>([
    [
      'the ids of user and domain',
      ({ userId: id, password }) => byPassword({ id, password }),
      { methods: ['password'] },
    ],
    [
      'the id of the domain, explicitly unscoped',
      ({ user: name, domainId: id, password }) => ({
        ...byPassword({ name, password, domain: { id } }),
        scope: { unscoped: {} },
      }),
      { methods: ['password'] },
    ],
    [
      'its domain as scope',
      ({ userId: id, password, domain: name }) => ({ ...byPassword({ id, password }), scope: { domain: { name } } }),
      { domain: { id: 'simulator-domain-id' } },
    ],
    [
      'an application credential by its id',
      ({ applicationCredential: { id, secret } }) => byApplication({ id, secret }),
      { methods: ['application_credential'], project: { id: 'my-project' } },
    ],
    [
      'an application credential by its name and the user',
      ({ applicationCredential: { name, secret }, userId }) => byApplication({ name, secret, user: { id: userId } }),
      { project: { id: 'my-project' } },
    ],
  ])('takes %s', async (_what, auth, expected) => {
    const { statusCode, token } = await login(auth(simulator.iam));
    expect({ statusCode, token }).toMatchObject({ statusCode: 201, token: expected });
  });

  it('refuses an application credential by the name of another user', async () => {
    const { name, secret } = simulator.iam.applicationCredential;
    expect((await login(byApplication({ name, secret, user: { id: 'other' } }))).statusCode).toBe(401);
  });

  it('says what a token is good for, by GET and HEAD, and revokes it by DELETE', async () => {
    const { id, token } = await login(byApplication(simulator.iam.applicationCredential));
    const about = (method: 'GET' | 'HEAD' | 'DELETE', headers = { 'x-auth-token': id, 'x-subject-token': id }) =>
      call('/v3/auth/tokens', { method, headers });
    expect(JSON.parse((await about('GET')).body)).toEqual({ token });
    expect(await about('HEAD')).toMatchObject({ statusCode: 200, body: '', headers: { 'x-subject-token': id } });
    expect((await about('GET', { 'x-auth-token': 'other', 'x-subject-token': id })).statusCode).toBe(401);
    expect((await about('GET', { 'x-auth-token': id, 'x-subject-token': 'other' })).statusCode).toBe(404);
    expect((await about('DELETE')).statusCode).toBe(204);
    expect((await about('GET')).statusCode).toBe(401);
  });

  it('lists catalogue, projects and domains for whoever has a token', async () => {
    const { id, token } = await login(byApplication(simulator.iam.applicationCredential));
    const list = async (path: string) => JSON.parse((await call(path, { headers: { 'x-auth-token': id } })).body);
    expect(await list('/v3/auth/catalog')).toEqual({ catalog: token.catalog });
    expect(await list('/v3/auth/projects')).toMatchObject({ projects: [{ id: 'my-project' }] });
    expect(await list('/v3/projects?name=p')).toMatchObject({ projects: [{ id: 'p', name: 'p' }] });
    expect(await list('/v3/auth/domains')).toMatchObject({ domains: [{ id: 'simulator-domain-id' }] });
    expect((await call('/v3/auth/catalog', { headers: { 'x-auth-token': 'other' } })).statusCode).toBe(401);
  });
});

describe('the control surface', () => {
  const script = (body: unknown) =>
    call('/simulator/jobs', { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });

  it('takes a script and tells the job, which then can be asked for', async () => {
    const answer = await script({ projectId: 'p', jobId: 'scripted', durationMs: 0, outcome: 'Failed' });
    expect(answer.statusCode).toBe(201);
    expect(JSON.parse(answer.body)).toMatchObject({ projectId: 'p', jobId: 'scripted', outcome: 'Failed', calls: 0 });
    expect(dataOf(await call('/v3/p/jobs/scripted')).status).toBe('Failed');
  });

  it('draws an id where the script has none', async () => {
    const { jobId } = JSON.parse((await script({ projectId: 'p' })).body);
    expect((await call(`/v3/p/jobs/${jobId}`)).statusCode).toBe(200);
  });

  it('lists all jobs and calls', async () => {
    addJob();
    const { calls, jobs } = JSON.parse((await call('/simulator/jobs')).body);
    expect(calls).toBe(simulator.calls());
    expect(jobs.map((job: { jobId: string }) => job.jobId)).toEqual(simulator.jobs().map(({ jobId }) => jobId));
  });

  it('answers 404 for a job that was never made', async () => {
    expect((await call('/simulator/jobs/p/never-made')).statusCode).toBe(404);
  });

  it.each<[string, unknown]>([
    ['no project', {}],
    ['an illegal project', { projectId: '../p' }],
    ['an illegal job id', { projectId: 'p', jobId: 'a b' }],
    ['an unknown member', { projectId: 'p', duration: 5 }],
    ['a negative duration', { projectId: 'p', durationMs: -1 }],
    ['an unknown outcome', { projectId: 'p', outcome: 'Running' }],
    ['an unknown time format', { projectId: 'p', timeFormat: 'unix' }],
    ['a time that no calendar has', { projectId: 'p', beginTime: 9e15 }],
    ['faults that are no list', { projectId: 'p', faults: { fault: 'drop' } }],
    ['an unknown fault', { projectId: 'p', faults: [{ fault: 'earthquake' }] }],
    ['an unknown member of a fault', { projectId: 'p', faults: [{ fault: 'drop', count: 2 }] }],
    ['a fault that meets no call', { projectId: 'p', faults: [{ fault: 'drop', times: 0 }] }],
    ['a fault with an impossible status', { projectId: 'p', faults: [{ fault: 'error', httpStatus: 99 }] }],
    ['a list', []],
    ['null', 'null'],
    ['what is no JSON', '{"projectId":'],
    ['nothing', ''],
  ])('refuses a script with %s', async (_what, body) => {
    const before = simulator.jobs().length;
    const answer = await script(body);
    expect(answer.statusCode).toBe(400);
    expect(JSON.parse(answer.body).error_msg).toMatch(/\w/);
    expect(simulator.jobs()).toHaveLength(before);
  });
});

describe('stop()', () => {
  it('does not wait for answers under way', async () => {
    const other = await startSimulator();
    const { jobId } = other.addJob({ projectId: 'p', faults: [{ fault: 'slow', delayMs: 600_000 }] });
    const cut = got(`${other.url}/v3/p/jobs/${jobId}`, {
      headers: { 'x-auth-token': other.token, 'content-type': 'application/json' },
      retry: { limit: 0 },
    }).catch((error: NodeJS.ErrnoException) => error.code);
    while (other.calls() === 0) await new Promise(setImmediate);
    await other.stop();
    expect(await cut).toBe('ECONNRESET');
  });
});
