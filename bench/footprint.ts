import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMs, rssMb } from './meters.js';
import { quantile, type Row } from './numbers.js';
import type { BenchOptions } from './options.js';
import type { Setting } from './setting.js';
import { freePort } from './sidecars.js';
import { run, versions } from './versions.js';

const ROUNDS = 3;
const JOBS = 10_000;
/** From the start to the reading of the memory, in milliseconds. */
const SETTLED_MS = 8_000;
const IDLE_MS = 20_000;
/** After the last event: V8 gives memory back half a minute after the work has ended. */
const CALM_MS = 60_000;
const PATIENCE_MS = 120_000;

/** A process that is measured. */
interface Candidate {
  readonly name: string;
  readonly args: readonly string[];
  /** Whether it can be asked for /readyz; else it prints a line when it is ready. */
  readonly http: boolean;
  /** How many of the jobs it has seen to; undefined if it takes none. */
  readonly done: ((setting: Setting) => Promise<number>) | undefined;
  /** Path of the command, whose package is installed for its size. */
  readonly cli?: string;
}

const bare = (name: string, code: string, done?: Candidate['done']): Candidate => ({
  name,
  args: ['--input-type=module', '-e', `${code}\nconsole.log('ready'); setInterval(() => {}, 60_000);`],
  http: false,
  done,
});
const BARE = [
  bare('Node alone', ''),
  bare('got and ioredis imported', "await import('got'); await import('ioredis');"),
  bare(
    'BullMQ worker, empty processor',
    `const { Worker } = await import('bullmq');
     const { hostname: host, port, password } = new URL(process.env.REDIS_URL);
     const worker = new Worker('cfw-jobs', async () => {}, { prefix: '{cfw}', connection: { host, port: Number(port), password } });
     await worker.waitUntilReady();`,
    ({ queue }) => queue.getCompletedCount(),
  ),
];

/** What a sidecar weighs beside each pod, as its command is started without any flags, and bare alternatives. */
export async function footprint(setting: Setting, options: BenchOptions) {
  const candidates: Candidate[] = [
    ...BARE,
    ...versions(options.base).map(({ name, cli }) => ({
      ...{ name, cli, http: true },
      args: [cli, 'start'],
      done: ({ redis }: Setting) => redis.xlen('{cfw}:events'),
    })),
  ];
  const found = new Map<Candidate, Weight[]>(candidates.map((candidate) => [candidate, []]));
  for (let round = 0; round < (options.rounds ?? ROUNDS); round += 1) {
    for (const [candidate, weights] of found) weights.push(await weigh(setting, candidate));
  }
  const rows = [...found].map(([{ name, cli }, weights]): Row => {
    const median = (key: keyof Weight) => {
      const values = weights.flatMap((weight) => weight[key] ?? []);
      return values.length === 0 ? '' : quantile(values, 0.5);
    };
    return {
      process: name,
      'ready after, s': median('readyS'),
      'CPU until then, s': median('startCpuS'),
      'RSS idle, MB': median('idleMb'),
      'CPU idle, %': median('idleCpu'),
      [`RSS after ${JOBS} jobs, MB`]: median('afterMb'),
      'install, MB': cli === undefined ? '' : installMb(dirname(dirname(cli))),
    };
  });
  return {
    rows,
    conclusions: ['medians; the processor time until ready does not depend on what else the machine does'],
  };
}

interface Weight {
  readonly readyS: number;
  readonly startCpuS: number;
  readonly idleMb: number;
  readonly idleCpu: number;
  readonly afterMb: number | undefined;
}

async function weigh(setting: Setting, { name, args, http, done }: Candidate): Promise<Weight> {
  const port = await freePort();
  const { NODE_OPTIONS: _, ...env } = setting.environment;
  const startedAt = performance.now();
  const child = spawn(process.execPath, args, {
    env: { PATH: process.env.PATH ?? '', NODE_ENV: 'production', ...env, HTTP_PORT: `${port}` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  const pid = child.pid as number;
  await (http ? readyByHttp(child, port, name) : once(child.stdout, 'data'));
  const readyS = (performance.now() - startedAt) / 1_000;
  const startCpuS = cpuMs(pid) / 1_000;
  await sleep(SETTLED_MS - readyS * 1_000);
  const idleMb = rssMb(pid);
  const before = cpuMs(pid);
  await sleep(IDLE_MS);
  const idleCpu = ((cpuMs(pid) - before) / IDLE_MS) * 100;
  const afterMb = done === undefined ? undefined : await afterJobs(setting, pid, done);
  const exit = once(child, 'exit');
  end();
  await exit;
  process.off('exit', end);
  await setting.reset();
  return { readyS, startCpuS, idleMb, idleCpu, afterMb };
}

async function readyByHttp(child: ChildProcess, port: number, name: string): Promise<void> {
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(5)) {
    if (child.exitCode !== null) break;
    if ((await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.ok === true) return;
  }
  throw new Error(`${name} does not become ready`);
}

async function afterJobs(setting: Setting, pid: number, done: NonNullable<Candidate['done']>): Promise<number> {
  await setting.enqueue(await setting.makeJobs(JOBS, () => ({ durationMs: 2_000 })));
  const until = Date.now() + PATIENCE_MS;
  while ((await done(setting)) < JOBS) {
    if (Date.now() > until) throw new Error(`${JOBS} jobs have not ended after ${PATIENCE_MS / 1_000} s`);
    await sleep(500);
  }
  await sleep(CALM_MS);
  return rssMb(pid);
}

/** What is on the disk once the package of a tree is installed for production. */
function installMb(tree: string): number {
  const folder = mkdtempSync(join(tmpdir(), 'cfw-job-poller-install-'));
  try {
    const packed = run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], tree).trim();
    writeFileSync(join(folder, 'package.json'), '{}');
    run('npm', ['install', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', `./${packed}`], folder);
    const { stdout } = spawnSync('du', ['-sk', join(folder, 'node_modules')], { encoding: 'utf8' });
    return Number.parseInt(stdout, 10) / 1_024;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
