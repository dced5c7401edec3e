import { setTimeout as sleep } from 'node:timers/promises';
import got from 'got';
import type { Terminal } from '../commands/terminal.js';
import { eventLine } from '../commands/watch.js';
import { loadConfig } from '../config/index.js';
import { type CfwJobEvent, readEvents } from '../events/index.js';
import { formatDuration } from '../lib/duration.js';
import { createLogger } from '../ops/logger.js';
import { CfwJobProducer } from '../queue/index.js';
import { serviceRedis } from '../redis/index.js';
import { startSidecar } from '../sidecar.js';
import { repeatable, type SimulatedJob, type Simulator, startSimulator } from '../simulator/index.js';
import { startPrivateRedis } from './private-redis.js';

const FIREWALLS = 20;
const PROJECT = '09bb24e6fe80d23d2fa2c010b53b418c';
/** All have ended long before; this is for a machine that is asleep. */
const PATIENCE_MS = 120_000;
const REDRAW_MS = 100;

/** A firewall that was asked for, and the events that came for it. */
interface Firewall {
  readonly name: string;
  readonly job: SimulatedJob;
  readonly askedAt: number;
  readonly events: { event: CfwJobEvent; seenAt: number }[];
}

/**
 * Shows the whole way of a job: asks the simulator for firewalls, enqueues their jobs, watches their events. Redis is a
 * private one; nothing else on the machine is touched, and nothing stays.
 *
 * @param keep leaves it running after the last event, until told to stop.
 * @returns whether each job ended in exactly one right event.
 */
export async function demo(terminal: Terminal, stop: AbortSignal, keep = false): Promise<boolean> {
  const cleanUp: (() => Promise<unknown> | unknown)[] = [];
  try {
    const privateRedis = await startPrivateRedis();
    cleanUp.push(() => privateRedis.stop());
    // The same firewalls each time, so that some of them fail each time.
    const simulator = await startSimulator({ medianMs: 6_000, failureShare: 0.2, random: repeatable(7) });
    cleanUp.push(() => simulator.stop());
    const config = loadConfig({
      REDIS_URL: privateRedis.url,
      CFW_ENDPOINT: simulator.url,
      CFW_AUTH_TOKEN: simulator.token,
      CFW_PROJECT_ID: PROJECT,
      POLL_MAX_DELAY: '2s',
      HTTP_PORT: '0',
      LOG_LEVEL: 'silent',
    });
    const sidecar = await startSidecar(config, createLogger(config.logLevel), { writable: true });
    cleanUp.push(() => sidecar.stop());
    const redis = serviceRedis(config.redis);
    cleanUp.push(() => redis.disconnect());
    const producer = new CfwJobProducer({ redis, projectId: PROJECT });
    cleanUp.push(() => producer.close());
    if (stop.aborted) return false;

    const { style } = terminal;
    terminal.print(`${style('bold', 'cfw-job-poller demo')}: ${FIREWALLS} firewalls, created by a simulated cloud`);
    terminal.print(
      style('dim', `simulator ${simulator.url}, sidecar ${sidecar.url}, redis 127.0.0.1:${privateRedis.port}`),
    );
    terminal.print(`look at the jobs in a browser: ${style('cyan', `${sidecar.url}/`)}\n`);

    const firewalls = new Map<string, Firewall>();
    const watching = new AbortController();
    cleanUp.push(() => watching.abort());
    const subscriber = collectEvents(
      redis,
      firewalls,
      watching.signal,
      (line) => {
        if (!redrawable(terminal)) terminal.print(line);
      },
      terminal,
    );

    await createFirewalls(simulator, producer, firewalls, stop);
    await showUntilEnded(firewalls, terminal, stop);
    // A second event for a job would be wrong, so give one the time to show.
    if (!stop.aborted) await sleep(500);
    watching.abort();
    await subscriber;
    const ok = summarize([...firewalls.values()], terminal, stop.aborted);
    if (keep && !stop.aborted) await untilStopped(sidecar.url, terminal, stop);
    return ok;
  } finally {
    for (const step of cleanUp.reverse()) await step();
  }
}

/** For looking at the page. */
async function untilStopped(url: string, terminal: Terminal, stop: AbortSignal): Promise<void> {
  terminal.print(`\neverything goes on, with the page at ${url}/, until Ctrl-C`);
  await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
}

/** What a provisioning system does: asks CFW for a firewall, hands the job id of the answer to the queue. */
async function createFirewalls(
  simulator: Simulator,
  producer: CfwJobProducer,
  firewalls: Map<string, Firewall>,
  stop: AbortSignal,
): Promise<void> {
  for (let n = 1; n <= FIREWALLS && !stop.aborted; n += 1) {
    const name = `firewall-${String(n).padStart(2, '0')}`;
    const { job_id: jobId } = await got
      .post(`${simulator.url}/v2/${PROJECT}/firewall`, { headers: { 'X-Auth-Token': simulator.token }, json: { name } })
      .json<{ job_id: string }>();
    const job = simulator.jobs().find((candidate) => candidate.jobId === jobId) as SimulatedJob;
    firewalls.set(jobId, { name, job, askedAt: Date.now(), events: [] });
    await producer.enqueue({ jobId, metadata: { name } });
  }
}

async function collectEvents(
  redis: ReturnType<typeof serviceRedis>,
  firewalls: ReadonlyMap<string, Firewall>,
  signal: AbortSignal,
  print: (line: string) => void,
  terminal: Terminal,
): Promise<void> {
  for await (const { event } of readEvents(redis, { from: 'start', signal })) {
    firewalls.get(event.subject)?.events.push({ event, seenAt: Date.now() });
    print(eventLine(event, terminal));
  }
}

/** The table can be redrawn if it fits on the screen as a whole: the heading, the firewalls, and the cursor below. */
function redrawable({ isTerminal, rows, columns }: Terminal): boolean {
  return isTerminal && rows >= FIREWALLS + 2 && columns >= 80;
}

async function showUntilEnded(firewalls: ReadonlyMap<string, Firewall>, terminal: Terminal, stop: AbortSignal) {
  const all = [...firewalls.values()];
  const redraw = redrawable(terminal);
  let drawn = 0;
  const draw = () => {
    const lines = table(all, terminal);
    const up = drawn > 0 ? `\u001b[${drawn}A` : '';
    terminal.print(up + lines.map((line) => `\u001b[2K${line}`).join('\n'));
    drawn = lines.length;
  };
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until && !stop.aborted; ) {
    if (redraw) draw();
    if (all.every(({ events }) => events.length > 0)) break;
    await sleep(REDRAW_MS, undefined, { signal: stop }).catch(() => {});
  }
  if (redraw) draw();
}

function table(firewalls: readonly Firewall[], { style }: Terminal): string[] {
  const row = (name: string, job: string, status: string, polls: string, elapsed: string, event: string) =>
    `${name.padEnd(12)}  ${job.padEnd(8)}  ${status}  ${polls.padStart(5)}  ${elapsed.padStart(7)}  ${event}`;
  return [
    style('dim', row('FIREWALL', 'JOB', 'AT CFW'.padEnd(8), 'POLLS', 'ELAPSED', 'EVENT')),
    ...firewalls.map(({ name, job, askedAt, events }) => {
      const status = Date.now() < job.endsAt ? 'Running' : job.outcome;
      const colour = { Running: 'yellow', Success: 'green', Failed: 'red' } as const;
      const [first] = events;
      const elapsed = formatDuration((first?.seenAt ?? Date.now()) - askedAt);
      const told =
        first === undefined ? '' : style(first.event.data.status === 'completed' ? 'green' : 'red', first.event.type);
      const coloured = style(colour[status], status.padEnd(8));
      return row(name, job.jobId.slice(0, 8), coloured, String(job.callTimes.length), elapsed, told);
    }),
  ];
}

function summarize(firewalls: readonly Firewall[], terminal: Terminal, interrupted: boolean): boolean {
  const { style } = terminal;
  const right = firewalls.filter(({ job, events }) => {
    const [first] = events;
    const expected = job.outcome === 'Success' ? 'cfw.job.completed' : 'cfw.job.failed';
    if (events.length !== 1 || first?.event.type !== expected) return false;
    // Nothing goes wrong in this cloud, so nothing may have gone wrong for us.
    const { polls, lastError } = first.event.data;
    return polls === job.callTimes.length && lastError === null;
  });
  const events = firewalls.flatMap((firewall) => firewall.events);
  const failed = events.filter(({ event }) => event.type === 'cfw.job.failed').length;
  const polls = firewalls.reduce((sum, { job }) => sum + job.callTimes.length, 0);
  const delays = firewalls
    .flatMap(({ job, events: [first] }) => (first === undefined ? [] : [Date.parse(first.event.time) - job.endsAt]))
    .sort((a, b) => a - b);
  const mean = delays.reduce((sum, delay) => sum + delay, 0) / Math.max(1, delays.length);
  const ok = right.length === FIREWALLS && !interrupted;

  terminal.print('');
  terminal.print(
    `events    ${events.length} for ${firewalls.length} jobs: ${events.length - failed} completed, ${failed} failed`,
  );
  terminal.print(`polls     ${polls}, ${(polls / Math.max(1, firewalls.length)).toFixed(1)} a job`);
  if (delays.length > 0) {
    terminal.print(
      `noticed   ${formatDuration(Math.max(0, mean))} after the end at CFW on average, ${formatDuration(Math.max(0, delays.at(-1) ?? 0))} at the latest`,
    );
  }
  if (interrupted) terminal.print(style('yellow', 'interrupted'));
  else if (ok) terminal.print(style('green', 'each job ended in exactly one right event'));
  else terminal.print(style('red', `only ${right.length} of ${FIREWALLS} jobs ended in exactly one right event`));
  return ok;
}
