import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { median, quantile } from './numbers.js';
import type { Setting } from './setting.js';

const ROUNDS = 5;
const IDLE_MS = 30_000;
const JOBS = 1_100;
const WARM_UP_MS = 6_000;
const MEASURE_MS = 30_000;
/** Each of the two routes is asked this often. */
const EVERY_MS = 50;

/** What an operator is promised: how soon it is ready, what it takes when idle, how soon it answers under load. */
export async function operator(setting: Setting) {
  const starts: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { process: idle, readyMs } = await start(setting.environment);
    starts.push(readyMs);
    await end(idle);
  }

  const { process: idle, url: idleUrl } = await start(setting.environment);
  const rss: number[] = [];
  // As a Prometheus and a kubelet do it.
  for (const until = Date.now() + IDLE_MS; Date.now() < until; await sleep(2_000)) {
    await fetch(`${idleUrl}/readyz`).then((answer) => answer.text());
    const metrics = await fetch(`${idleUrl}/metrics`).then((answer) => answer.text());
    rss.push(Number(/^process_resident_memory_bytes (\S+)/m.exec(metrics)?.[1]) / 2 ** 20);
  }
  await end(idle);

  await setting.enqueue(await setting.makeJobs(JOBS));
  const { process: busy, url } = await start({
    ...setting.environment,
    POLL_INITIAL_DELAY: '1s',
    POLL_BACKOFF_FACTOR: '1',
    POLL_MAX_DELAY: '1s',
  });
  await sleep(WARM_UP_MS);
  const calls = await setting.calls();
  const begunAt = performance.now();
  const [healthz, metrics] = await Promise.all([latencies(`${url}/healthz`), latencies(`${url}/metrics`)]);
  const perSecond = ((await setting.calls()) - calls) / ((performance.now() - begunAt) / 1_000);
  await end(busy);

  const row = (what: string, numbers: readonly number[]) => ({
    what,
    median: median(numbers),
    p99: quantile(numbers, 0.99),
    worst: Math.max(...numbers),
  });
  return {
    rows: [
      row('start to ready, ms', starts),
      row('RSS when idle, MB', rss),
      row(`/healthz at ${Math.round(perSecond)} polls/s, ms`, healthz),
      row(`/metrics at ${Math.round(perSecond)} polls/s, ms`, metrics),
    ],
    conclusions: [
      `start to ready at the worst: ${Math.round(Math.max(...starts))} ms (at most 1000)`,
      `RSS when idle at the worst: ${Math.round(Math.max(...rss))} MB (at most 120)`,
      `p99 of /healthz and /metrics under load: ${Math.round(quantile(healthz, 0.99))} and ${Math.round(quantile(metrics, 0.99))} ms (at most 100)`,
    ],
  };
}

/** The command, as users start it. */
async function start(env: Record<string, string>): Promise<{ process: ChildProcess; url: string; readyMs: number }> {
  const begunAt = performance.now();
  const cli = 'dist/cli.js';
  const child = spawn(process.execPath, [cli, 'start'], {
    env: { PATH: process.env.PATH ?? '', NODE_ENV: 'production', ...env, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let url = '';
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const { msg, url: told } = JSON.parse(line);
    if (msg !== 'sidecar started') continue;
    url = told;
    break;
  }
  // Its further lines are of no interest, but the pipe must not fill up.
  child.stdout?.resume();
  while (!(await fetch(`${url}/readyz`)).ok) await sleep(5);
  return { process: child, url, readyMs: performance.now() - begunAt };
}

async function end(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

async function latencies(url: string): Promise<number[]> {
  const taken: number[] = [];
  for (const until = Date.now() + MEASURE_MS; Date.now() < until; ) {
    const begunAt = performance.now();
    const answer = await fetch(url);
    await answer.text();
    if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
    taken.push(performance.now() - begunAt);
    await sleep(EVERY_MS);
  }
  return taken;
}
