import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { CfwJobProducer } from '../../src/index.js';
import type { JobScript } from '../../src/simulator/index.js';
import { run } from '../support/command.js';
import { ALL_KINDS, simulatorWithKinds } from '../support/credentials.js';
import { eventually } from '../support/eventually.js';
import { TestRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const start = useCleanUp();

const EVERY_FAULT: NonNullable<JobScript['faults']> = [
  'echo',
  'not-found',
  'throttled',
  'unavailable',
  'busy',
  'denied',
  'html',
  'empty',
  'truncated',
  'garbage',
  'huge',
  'drop',
  'unauthorized',
].map((fault) => ({ fault: fault as 'echo' }));

/** Most of the time a kind waits for its jobs; so many of them run side by side. */
const AT_ONCE = 6;
const GROUPS = Array.from({ length: Math.ceil(ALL_KINDS.length / AT_ONCE) }, (_, n) => ({
  kinds: ALL_KINDS.slice(n * AT_ONCE, (n + 1) * AT_ONCE),
}));

describe('secrets', () => {
  it.each(GROUPS)('of $kinds are nowhere to be seen, whatever fails, at LOG_LEVEL=trace', async ({ kinds }) => {
    await Promise.all(
      kinds.map(async (kind) => {
        await expectNoSecret(kind).catch((cause) => {
          throw new Error(`the kind "${kind}": ${cause.message}`, { cause });
        });
      }),
    );
  });
});

async function expectNoSecret(kind: string): Promise<void> {
  const redis = await TestRedis.start({ appendOnly: true });
  start.onEnd(() => redis.stop());
  const secrets = new Set<string>();
  const { simulator, envOf } = await simulatorWithKinds(start, {
    token: 'a-ready-token-that-nobody-must-see',
    onCall: ({ headers }) => {
      for (const name of ['x-auth-token', 'x-security-token', 'authorization']) {
        if (headers[name] !== undefined) secrets.add(String(headers[name]));
      }
      const signature = /Signature=(\w+)/.exec(String(headers.authorization))?.[1];
      if (signature !== undefined) secrets.add(signature);
    },
  });
  const { iam, key, keys, sources } = simulator;
  const { CFW_AUTH_TOKEN: _, ...env } = environment(redis, simulator);
  Object.assign(env, envOf(kind), { LOG_LEVEL: 'trace', HTTP_TOKEN: 'an-http-token-nobody-must-see' });
  if (kind === 'aksk') {
    key.securityToken = env.HUAWEICLOUD_SDK_SECURITY_TOKEN = 'a-security-token-that-nobody-must-see';
  }
  // Keys and tokens that are renewed meanwhile are secrets, too.
  iam.tokenLifeMs = 3_000;
  for (const source of Object.values(sources)) source.lifeMs = 3_000;
  const known = [simulator.token, iam.password, iam.applicationCredential.secret, key.accessKey, key.secretKey];
  for (const secret of [...known, sources.podIdentity.token, sources.oidc.jwt]) secrets.add(secret);
  secrets.add(env.HTTP_TOKEN ?? '');
  secrets.add(new URL(redis.url).password);

  const sidecar = start.command(['start'], env);
  const { url } = await sidecar.logged('sidecar started');
  const producer = new CfwJobProducer({ redis: redis.client, projectId: PROJECT });
  const jobs = [...EVERY_FAULT.map((fault) => [fault]), EVERY_FAULT, [{ fault: 'echo' as const, times: 1_000 }]].map(
    (faults) => simulator.addJob({ projectId: PROJECT, durationMs: 200, faults }),
  );
  await producer.enqueueMany(jobs.map(({ jobId }) => ({ jobId, timeoutMs: 12_000 })));
  const bad = await run(['start'], { ...env, POLL_TIMEOUT: 'soon', HTTP_PORT: 'x' });
  expect(bad.code).toBe(2);
  await eventually(async () => (await redis.events()).length === jobs.length, { timeoutMs: 60_000 });
  // The credential is refused in the end, so that all there is to tell about that is told, too.
  iam.password = iam.applicationCredential.secret = simulator.token = key.secretKey = 'changed';
  sources.podIdentity.token = sources.oidc.jwt = 'changed';
  sources.metadata.hasAgency = false;
  iam.revoke();
  for (const secret of keys.secrets) secrets.add(secret);
  keys.revoke();
  const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 60_000 });
  await producer.enqueue({ jobId, timeoutMs: 4_000 });
  await eventually(async () => (await redis.events()).length === jobs.length + 1);
  const answers = await Promise.all(
    ['/healthz', '/readyz', '/none'].map(async (path) => await (await fetch(`${url}${path}`)).text()),
  );
  const status = await run(['status', jobs[0]?.jobId ?? ''], env);
  await producer.close();
  await sidecar.kill('SIGTERM');

  // The append-only file holds each write that Redis has ever seen.
  const folder = join(redis.folder, 'appendonlydir');
  const written = await Promise.all((await readdir(folder)).map((file) => readFile(join(folder, file), 'utf8')));
  const events = JSON.stringify(await redis.events());
  const places = {
    log: sidecar.stdout,
    stderr: sidecar.stderr,
    bad: bad.stdout + bad.stderr,
    answers: answers.join(),
    status: status.stdout + status.stderr,
    events,
    written: written.join(),
  };
  expect(places.log).toContain('"code":"APIGW.0601"');
  expect(places.log).toContain('[secret]');
  expect(places.log).toContain('credentials rejected');
  expect(secrets.size).toBeGreaterThanOrEqual(3);
  for (const [place, text] of Object.entries(places)) {
    for (const secret of secrets) {
      if (text.includes(secret)) throw new Error(`${place} shows the secret ${secret.slice(0, 30)}…`);
    }
  }
}
