import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { discover } from '../../src/client.js';
import { loadConfig } from '../../src/config/index.js';
import { CfwJobProducer } from '../../src/index.js';
import { NEW_HISTORY } from '../../src/polling/index.js';
import type { Simulator } from '../../src/simulator/index.js';
import { ALL_KINDS, issuerOf, RENEWED_KINDS, simulatorWithKinds } from '../support/credentials.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const { AKSKSigner } = createRequire(import.meta.url)('@huaweicloud/huaweicloud-sdk-core/auth/AKSKSigner.js');

const server = useRedis();
const start = useCleanUp();
beforeEach(async () => {
  await server.redis.client.flushall();
});

type Kind = 'token' | 'iam' | 'aksk';

/** The environment with one kind of credentials; what `files` names is given as a file. */
function withCredentials(
  kind: Kind,
  simulator: Simulator,
  change: Record<string, string> = {},
): Record<string, string> {
  const { CFW_AUTH_TOKEN, ...env } = environment(server.redis, simulator);
  const { iam, key } = simulator;
  const credentials: Record<Kind, Record<string, string>> = {
    token: { CFW_AUTH_TOKEN: CFW_AUTH_TOKEN ?? '' },
    iam: {
      OS_AUTH_URL: `${simulator.url}/v3`,
      OS_USERNAME: iam.user,
      OS_PASSWORD: iam.password,
      OS_USER_DOMAIN_NAME: iam.domain,
    },
    aksk: { HUAWEICLOUD_SDK_AK: key.accessKey, HUAWEICLOUD_SDK_SK: key.secretKey },
  };
  return Object.fromEntries(
    Object.entries({ ...env, ...credentials[kind], ...change }).filter(([, value]) => value !== ''),
  );
}

async function secretFile(content: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cfw-job-poller-test-'));
  start.onEnd(() => rm(folder, { recursive: true }));
  const file = join(folder, 'secret');
  await writeFile(file, `${content}\n`);
  return file;
}

async function enqueue(simulator: Simulator, count: number, durationMs: (n: number) => number, timeoutMs = 600_000) {
  const jobs = Array.from({ length: count }, (_, n) =>
    simulator.addJob({ projectId: PROJECT, durationMs: durationMs(n), outcome: 'Success' }),
  );
  const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT });
  await producer.enqueueMany(jobs.map(({ jobId }) => ({ jobId, timeoutMs })));
  await producer.close();
  return jobs;
}

const lines = (log: readonly string[], msg: string) =>
  log.map((line) => JSON.parse(line)).filter((line) => line.msg === msg);

describe('each kind of credentials', () => {
  it.each(ALL_KINDS)('%s takes jobs to their ends', async (kind) => {
    const { simulator, envOf } = await simulatorWithKinds(start);
    const { CFW_AUTH_TOKEN: _, ...env } = environment(server.redis, simulator);
    const sidecar = await start.sidecar({ ...env, ...envOf(kind) });
    const jobs = await enqueue(simulator, 10, (n) => n * 30);
    const events = await server.redis.waitForEvents(10);
    expect(events.every(({ data }) => data.status === 'completed' && data.lastError === null)).toBe(true);
    expect(jobs.reduce((sum, job) => sum + job.callTimes.length, 0)).toBe(simulator.calls());
    const ready = await fetch(`${sidecar.url}/readyz`);
    expect([ready.status, await ready.json()]).toMatchObject([200, { ready: true }]);
  });

  it.each(['iam, by an application credential', 'cloud, by an application credential'])(
    '%s needs no endpoint: the catalogue has it, and the project',
    async (kind) => {
      const { simulator, envOf } = await simulatorWithKinds(start);
      const { CFW_AUTH_TOKEN: _, CFW_ENDPOINT: __, CFW_PROJECT_ID: ___, ...env } = environment(server.redis, simulator);
      const config = await discover(loadConfig({ ...env, ...envOf(kind) }));
      expect(config.cfw.endpoint).toBe(simulator.url);
      simulator.iam.catalogueType = undefined;
      await expect(discover(loadConfig({ ...env, ...envOf(kind) }))).rejects.toThrow(
        'CFW_ENDPOINT is needed: the catalogue of IAM has no public endpoint of CFW',
      );
    },
  );

  it("of AK/SK is one that the vendor's own signer agrees with, on every call", async () => {
    const wrong: string[] = [];
    const simulator = await start.simulator({
      onCall: ({ method, url, headers }) => {
        const { host } = headers;
        const names = /SignedHeaders=([^,]+)/.exec(String(headers.authorization))?.[1]?.split(';') ?? [];
        const date = String(headers['x-sdk-date']);
        const signed = Object.fromEntries(
          names.filter((name) => name !== 'x-sdk-date').map((name) => [name, headers[name]]),
        );
        const expected = AKSKSigner.sign(
          { method, endpoint: `http://${host}${url}`, headers: { ...signed, 'X-Sdk-Date': date } },
          { getAk: () => simulator.key.accessKey, getSk: () => simulator.key.secretKey },
        ).Authorization;
        if (expected !== headers.authorization) wrong.push(`${expected}\n${headers.authorization}`);
      },
    });
    await start.sidecar(withCredentials('aksk', simulator));
    await enqueue(simulator, 10, (n) => n * 100);
    await server.redis.waitForEvents(10);
    expect(simulator.calls()).toBeGreaterThanOrEqual(10);
    expect(wrong).toEqual([]);
  });
});

describe('a wrong credential', () => {
  it('stops all calls but single probes, makes the sidecar unready, fails no job; once mended, all goes on', async () => {
    const simulator = await start.simulator();
    const file = await secretFile('not-the-secret-key');
    const log: string[] = [];
    const env = withCredentials('aksk', simulator, { HUAWEICLOUD_SDK_SK: '', HUAWEICLOUD_SDK_SK_FILE: file });
    const sidecar = await start.sidecar({ ...env, LOG_LEVEL: 'info' }, log);
    await enqueue(simulator, 1_000, () => 0);
    await eventually(() => simulator.key.checked.wrong > 0);
    // The first pause is 10 s; each of the jobs has been due several times before that.
    await sleep(5_000);
    expect(simulator.key.checked).toEqual({ right: 0, wrong: 1 });
    expect(await server.redis.events()).toEqual([]);
    const unready = await fetch(`${sidecar.url}/readyz`);
    expect(unready.status).toBe(503);
    expect(await unready.json()).toMatchObject({
      ready: false,
      checks: { redis: { ok: true }, credentials: { ok: false, error: expect.stringContaining('APIGW.0301') } },
    });
    expect((await fetch(`${sidecar.url}/healthz`)).status).toBe(200);
    expect(log.map((line) => JSON.parse(line)).filter(({ level }) => level === 'error')).toHaveLength(1);

    await writeFile(file, simulator.key.secretKey);
    const events = await server.redis.waitForEvents(1_000);
    expect(events.every(({ type }) => type === 'cfw.job.completed')).toBe(true);
    expect(simulator.key.checked.wrong).toBe(1);
    expect((await fetch(`${sidecar.url}/readyz`)).status).toBe(200);
    expect(lines(log, 'credentials accepted again')).toHaveLength(1);
  });

  it('ends a job as TIMED_OUT, at its deadline and not before', async () => {
    const simulator = await start.simulator();
    await start.sidecar(withCredentials('token', simulator, { CFW_AUTH_TOKEN: 'not-the-token' }));
    await enqueue(simulator, 3, () => 0, 3_000);
    const events = await server.redis.waitForEvents(3);
    for (const { time, data } of events) {
      expect(data).toMatchObject({
        reason: 'TIMED_OUT',
        cfwStatus: null,
        lastError: { code: 'APIGW.0301', httpStatus: 401 },
      });
      expect(Date.parse(time) - Date.parse(data.enqueuedAt)).toBeGreaterThanOrEqual(3_000);
    }
    expect(simulator.calls()).toBe(1);
  });
});

describe('a credential that ends', () => {
  it('as a ready token is exchanged by its file, with no job failed', async () => {
    const simulator = await start.simulator();
    const file = await secretFile(simulator.token);
    const env = withCredentials('token', simulator, { CFW_AUTH_TOKEN: '', CFW_AUTH_TOKEN_FILE: file });
    await start.sidecar(env);
    await enqueue(simulator, 50, (n) => 500 + n * 50);
    await sleep(700);
    simulator.token = 'the-next-token';
    await writeFile(file, 'the-next-token');
    const events = await server.redis.waitForEvents(50);
    expect(events.every(({ type }) => type === 'cfw.job.completed')).toBe(true);
  });

  it('as an IAM token is renewed: a thousand jobs see tokens expire every 3 seconds, and one revoked', async () => {
    const simulator = await start.simulator();
    simulator.iam.tokenLifeMs = 3_000;
    const sidecar = await start.sidecar(
      withCredentials('iam', simulator, { WORKER_CONCURRENCY: '1000', CFW_RATE_LIMIT: '0' }),
    );
    const begun = Date.now();
    await enqueue(simulator, 1_000, (n) => n * 10);
    await sleep(4_000);
    simulator.iam.revoke();
    const events = await server.redis.waitForEvents(1_000);
    const seconds = (Date.now() - begun) / 1_000;
    expect(events.every(({ type }) => type === 'cfw.job.completed')).toBe(true);
    expect((await fetch(`${sidecar.url}/readyz`)).status).toBe(200);
    // The first, one for each 2.25 s (three quarters of a life), one for the revocation.
    expect(simulator.iam.calls.length).toBeLessThanOrEqual(1 + Math.ceil(seconds / 2.25) + 1);
    expect(simulator.iam.calls.every(({ status }) => status === 201)).toBe(true);
  });
});

/** Jobs by each kind whose keys end, side by side: each kind has a simulator, a sidecar and a queue of its own. */
describe('keys that end', () => {
  /** Long enough that a busy machine makes calls with a key before it ends. */
  const LIFE_MS = 3_000;

  async function flow(kind: (typeof RENEWED_KINDS)[number]) {
    const { simulator, envOf } = await simulatorWithKinds(start);
    const issuer = issuerOf(kind, simulator);
    issuer.live(LIFE_MS);
    const { CFW_AUTH_TOKEN: _, ...env } = environment(server.redis, simulator);
    const queueName = kind.replaceAll(/\W+/g, '-');
    const eventStream = `{cfw}:${queueName}`;
    const sidecar = await start.sidecar({
      ...env,
      QUEUE_NAME: queueName,
      EVENT_STREAM: eventStream,
      ...envOf(kind),
    });
    const producer = new CfwJobProducer({ redis: server.redis.client, projectId: PROJECT, queueName, eventStream });
    start.onEnd(() => producer.close());
    let count = 0;
    return {
      simulator,
      issuer,
      sidecar,
      /** Adds jobs, so that keys are needed, for as long as it takes. */
      jobsUntil: (look: () => boolean) =>
        eventually(async () => {
          const jobs = [0, 100, 200].map((durationMs) =>
            simulator.addJob({ projectId: PROJECT, durationMs, outcome: 'Success' }),
          );
          await producer.enqueueMany(jobs.map(({ jobId }) => ({ jobId, timeoutMs: 600_000 })));
          count += jobs.length;
          await sleep(100);
          return look();
        }),
      /** How many jobs ended in any way but well, once all have ended. */
      failures: async () => {
        const entries = await eventually(async () => {
          const all = await server.redis.client.xrange(eventStream, '-', '+');
          return all.length >= count && all;
        });
        return entries.filter(([, fields]) => !fields.includes('cfw.job.completed')).length;
      },
    };
  }

  it('are renewed by one call each, and once more when they are revoked; no job fails', async () => {
    await Promise.all(
      RENEWED_KINDS.map(async (kind) => {
        const { simulator, issuer, jobsUntil, failures } = await flow(kind);
        await jobsUntil(() => issuer.calls().length >= 2);
        simulator.keys.revoke();
        simulator.iam.revoke();
        await jobsUntil(() => issuer.calls().length >= 5);
        expect([kind, await failures()]).toEqual([kind, 0]);
        const calls = issuer.calls();
        expect([kind, calls.every(({ status }) => status < 300)]).toEqual([kind, true]);
        const tookMs = (calls.at(-1)?.at ?? 0) - (calls[0]?.at ?? 0);
        // One for each 60 % of a life (75 % for tokens), the first, and one for the revocation. Measured where they arrive, so a
        // slow machine may bring them nearer to one another.
        expect([kind, calls.length <= 3 + tookMs / (0.6 * LIFE_MS)]).toEqual([kind, true]);
      }),
    );
  });

  it.each([
    ['less than a key has left', 1],
    // Pauses of 1, 2 and 4 s.
    ['longer than a key lives', 3],
  ])('fail no job while their source is away for %s, and it is asked at most once a second', async (_what, times) => {
    await Promise.all(
      RENEWED_KINDS.map(async (kind) => {
        const { issuer, sidecar, jobsUntil, failures } = await flow(kind);
        await jobsUntil(() => issuer.calls().length >= 1);
        issuer.away(times);
        const failed = () => issuer.calls().filter(({ status }) => status === 0);
        await jobsUntil(() => failed().length === times && issuer.calls().at(-1)?.status !== 0);
        expect([kind, await failures()]).toEqual([kind, 0]);
        // A call whose kept connection breaks is made once more at once, on a new one.
        // Measured where the calls arrive, so a slow machine may bring them nearer to one another.
        const tookS = ((failed().at(-1)?.at ?? 0) - (failed()[0]?.at ?? 0)) / 1_000;
        expect([kind, failed().length <= 2.7 + tookS]).toEqual([kind, true]);
        expect((await fetch(`${sidecar.url}/readyz`)).status).toBe(200);
      }),
    );
  });
});

describe('patience', () => {
  /** A job of which an earlier worker has found out something; a sidecar that starts now goes on from there. */
  async function resumed(jobId: string, since: Record<string, number>): Promise<void> {
    const queue = start.rawQueue(server.redis);
    const progress = {
      ...NEW_HISTORY,
      // Jobs that were parked by an older version have none.
      runningAt: undefined,
      enqueuedAt: Date.now() - 400_000,
      polls: 40,
      errorCounts: { 'APIGW.0302': 39 },
      ...since,
    };
    const job = await queue.add('x', { jobId, projectId: PROJECT }, { delay: 600_000 });
    await job.updateProgress(progress);
    await job.promote();
  }

  it.each([
    ['JOB_NOT_FOUND', 'notFoundSince', 116_000, { fault: 'not-found' as const, forMs: 600_000 }],
    ['ACCESS_DENIED', 'deniedSince', 296_000, { fault: 'denied' as const, forMs: 600_000 }],
    [
      'INVALID_REQUEST',
      'rejectedSince',
      116_000,
      { fault: 'error' as const, httpStatus: 400, code: 'CFW.0020016', forMs: 600_000 },
    ],
  ])(
    'for %s counts from the first such answer, wherever that was, and ends no sooner',
    async (reason, field, agoMs, fault) => {
      const simulator = await start.simulator();
      const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0, faults: [fault] });
      // 4 seconds are left: time for more than one call, also of a sidecar that starts slowly.
      const since = Date.now() - agoMs;
      await resumed(jobId, { [field]: since });
      await start.sidecar(environment(server.redis, simulator));
      const [event] = await server.redis.waitForEvents(1);
      expect(event?.data.reason).toBe(reason);
      expect(Date.parse(event?.time ?? '') - since).toBeGreaterThanOrEqual(agoMs + 3_900);
      const calls = simulator.jobs()[0]?.callTimes.length ?? 0;
      expect(calls).toBeGreaterThan(1);
      expect(event?.data.polls).toBe(40 + calls);
    },
  );

  it('waits as long as the other side asks for, within the deadline', async () => {
    const simulator = await start.simulator();
    const asked = simulator.addJob({
      projectId: PROJECT,
      durationMs: 0,
      faults: [
        { fault: 'throttled', retryAfter: '2' },
        { fault: 'throttled', message: 'over ratelimit,limit:1,time:2 second' },
      ],
    });
    const endless = simulator.addJob({
      projectId: PROJECT,
      durationMs: 0,
      faults: [{ fault: 'throttled', retryAfter: '9999' }],
    });
    await start.sidecar(environment(server.redis, simulator));
    const queue = start.rawQueue(server.redis);
    await queue.add('x', { jobId: asked.jobId });
    await server.redis.waitForEvents(1);
    const [first = 0, second = 0, third = 0] = asked.callTimes;
    expect(second - first).toBeGreaterThanOrEqual(2_000);
    expect(third - second).toBeGreaterThanOrEqual(2_000);

    await queue.add('x', { jobId: endless.jobId, timeoutMs: 3_000 });
    const [, event] = await server.redis.waitForEvents(2);
    expect(event?.data).toMatchObject({ reason: 'TIMED_OUT', polls: 1, lastError: { httpStatus: 429 } });
    expect(endless.callTimes).toHaveLength(1);
  });
});
