import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { kindEnvironments, type SimulatedSource, startSimulator } from '../src/simulator/index.js';
import { PROJECT, type Setting } from './setting.js';

/** Kinds whose keys or tokens end, and what issues them. */
const KINDS = {
  iam: 'iam',
  'iam, by an application credential': 'iam',
  'pod-identity': 'podIdentity',
  'ecs-agency': 'metadata',
  oidc: 'oidc',
  cloud: 'iam',
  'aksk, with a role on top': 'role',
} as const;

const JOBS = Number(process.env.BENCH_JOBS ?? 1_000);
const LIFE_MS = Number(process.env.BENCH_KEY_LIFE_MS ?? 20_000);
const CHANGES = 10;
/** When the source goes away, after the start of the jobs. */
const AWAY_AFTER = 1.5 * LIFE_MS;
const ROUNDS = { never: 0, 'half a life': LIFE_MS / 2, 'a life and a half': LIFE_MS * 1.5 };

/** Jobs through ten changes of keys, for each kind; the same with the source away for half a life, and for longer. */
export async function credentials(setting: Setting) {
  const rows: Record<string, string | number>[] = [];
  for (const [away, awayMs] of Object.entries(ROUNDS)) {
    // Side by side, as each takes as long as its keys live.
    const kinds = Object.keys(KINDS) as (keyof typeof KINDS)[];
    rows.push(...(await Promise.all(kinds.map((kind) => round(setting, kind, away, awayMs)))));
    await setting.reset();
  }
  return { rows, conclusions: [] };
}

async function round(setting: Setting, kind: keyof typeof KINDS, away: string, awayMs: number) {
  const simulator = await startSimulator();
  simulator.iam.applicationCredential.projectId = PROJECT;
  const folder = await mkdtemp(join(tmpdir(), 'cfw-bench-'));
  const env = (await kindEnvironments(simulator, folder)).find((one) => one.kind === kind)?.env ?? {};
  const by = KINDS[kind];
  const issuer: Pick<SimulatedSource, 'calls' | 'script'> = by === 'iam' ? simulator.iam : simulator.sources[by];
  if (by === 'iam') simulator.iam.tokenLifeMs = LIFE_MS;
  else simulator.sources[by].lifeMs = LIFE_MS;
  const queueName = kind.replaceAll(/\W+/g, '-');
  const stream = `{cfw}:${queueName}`;
  await setting.sidecar({
    CFW_AUTH_TOKEN: '',
    CFW_ENDPOINT: simulator.url,
    QUEUE_NAME: queueName,
    EVENT_STREAM: stream,
    ...env,
  });
  const spreadMs = CHANGES * LIFE_MS * (by === 'iam' ? 0.75 : 0.6);
  const jobs = Array.from({ length: JOBS }, (_, n) =>
    simulator.addJob({ projectId: PROJECT, outcome: 'Success', durationMs: ((n + 1) * spreadMs) / JOBS }),
  );
  const queue = setting.queueNamed(queueName);
  await setting.enqueue(
    jobs.map(({ jobId }) => jobId),
    queue,
  );
  if (awayMs > 0) {
    await sleep(AWAY_AFTER);
    issuer.script([{ fault: 'drop', forMs: awayMs }]);
  }
  const until = Date.now() + spreadMs + awayMs + 120_000;
  while ((await setting.redis.xlen(stream)) < JOBS && Date.now() < until) await sleep(200);
  const entries = await setting.redis.xrange(stream, '-', '+');
  const failed = entries.filter(([, fields]) => !fields.includes('cfw.job.completed')).length;
  const answered = issuer.calls.filter(({ status }) => status !== 0);
  await queue.close();
  await simulator.stop();
  await rm(folder, { recursive: true });
  return {
    kind,
    'source away for': away,
    jobs: JOBS,
    events: entries.length,
    'of them failed': failed,
    'changes of keys': answered.length - 1,
    'calls to the source': answered.length,
    'calls while it was away': issuer.calls.length - answered.length,
    'calls to CFW': simulator.calls(),
  };
}
