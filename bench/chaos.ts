import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { freePort, startPrivateRedis } from '../src/demo/private-redis.js';
import { type CfwJobEvent, fromEntry } from '../src/events/index.js';
import { CfwJobProducer } from '../src/queue/index.js';
import { type Fault, logNormal, repeatable, type SimulatedJob, startSimulator } from '../src/simulator/index.js';

/** What is to be survived. */
export interface ChaosOptions {
  readonly jobs: number;
  readonly workers: number;
  /** Each time, one worker is killed with SIGKILL and another one started; every other time it is the housekeeper. */
  readonly killEveryMs: number;
  /** How often Redis is killed with SIGKILL and started again, while jobs are under way. */
  readonly redisRestarts: number;
  /** Share of calls that fail, in every way that the simulator knows. */
  readonly faultShare: number;
  /** Median of the jobs' durations. */
  readonly medianMs: number;
  /** The same seed draws the same jobs, faults and victims; what meets what differs all the same. */
  readonly seed: number;
  /** After this, what has not ended counts as lost. */
  readonly patienceMs: number;
  readonly say?: (line: string) => void;
}

/** What came of it. */
export interface ChaosResult {
  readonly events: number;
  readonly kills: number;
  readonly calls: number;
  readonly tookMs: number;
  /** One line for each job that was lost, doubled or wrongly told. */
  readonly wrong: readonly string[];
}

const PROJECT = 'chaos';
/** `unauthorized` and `invalid` are left out: the one stops all calls for a while, the other rightly ends a job. */
const FAULTS: readonly Fault[] = [
  { fault: 'not-found' },
  { fault: 'unavailable' },
  { fault: 'busy' },
  { fault: 'denied' },
  { fault: 'error' },
  { fault: 'error', httpStatus: 400, code: 'CFW.0020016' },
  { fault: 'status', status: 'Creating' },
  { fault: 'slow', delayMs: 1_500 },
  { fault: 'html' },
  { fault: 'empty' },
  { fault: 'truncated' },
  { fault: 'garbage' },
  { fault: 'drop' },
];
/** These are rarer: a 429 makes all workers hold back, and a huge answer takes the simulator's time. */
const RARE: readonly Fault[] = [{ fault: 'throttled', retryAfter: '1' }, { fault: 'throttled' }, { fault: 'huge' }];
const RARE_SHARE = 0.01;

/** Draws what goes wrong with a call, for a share of them. */
export function drawFault(random: () => number, share: () => number): () => Fault | undefined {
  const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
  return () => (random() >= share() ? undefined : pick(random() < RARE_SHARE ? RARE : FAULTS));
}

/** One line for each job that has not exactly one right event. */
export function wrongEvents(jobs: readonly SimulatedJob[], entries: readonly [string, string[]][]): string[] {
  const bySubject = new Map<string, CfwJobEvent[]>();
  for (const [id, fields] of entries) {
    const event = fromEntry(id, fields);
    bySubject.set(event.subject, [...(bySubject.get(event.subject) ?? []), event]);
  }
  return jobs.flatMap(({ jobId, outcome }) => {
    const own = bySubject.get(jobId) ?? [];
    const [event] = own;
    if (event === undefined || own.length > 1) return [`${jobId} has ${own.length} events`];
    const { cfwStatus, reason } = event.data;
    const expected = outcome === 'Success' ? null : 'JOB_FAILED';
    return cfwStatus === outcome && reason === expected
      ? []
      : [`${jobId} is ${outcome}, and told ${cfwStatus} ${reason}`];
  });
}

interface Worker {
  readonly child: ChildProcess;
  readonly port: number;
}

/** @returns the index of the worker that is the housekeeper, by its metrics; -1 if none says so just now. */
async function findHousekeeper(workers: readonly Worker[]): Promise<number> {
  const found = await Promise.all(
    workers
      .map(async ({ port }) => {
        const signal = AbortSignal.timeout(1_000);
        const text = await fetch(`http://127.0.0.1:${port}/metrics`, { signal }).then((answer) => answer.text());
        return /^cfw_job_poller_housekeeper 1$/m.test(text);
      })
      .map((one) => one.catch(() => false)),
  );
  return found.indexOf(true);
}

/**
 * Runs jobs through workers that are killed, over a Redis that is killed, against a cloud that fails, and looks whether each
 * job has exactly one right event.
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { jobs: count, workers: workerCount, killEveryMs, redisRestarts, faultShare, patienceMs } = options;
  const say = options.say ?? (() => {});
  const random = repeatable(options.seed);
  const begun = Date.now();

  const persistent = ['--appendonly', 'yes', '--appendfsync', 'always'];
  let server = await startPrivateRedis({ args: persistent });
  const simulator = await startSimulator({
    random,
    drawFault: drawFault(random, () => faultShare),
  });
  const redis = new Redis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 100 });
  redis.on('error', () => {});
  const env = {
    PATH: process.env.PATH ?? '',
    REDIS_URL: server.url,
    CFW_ENDPOINT: simulator.url,
    CFW_AUTH_TOKEN: simulator.token,
    CFW_PROJECT_ID: PROJECT,
    CFW_REQUEST_TIMEOUT: '1s',
    CFW_RATE_LIMIT: '400',
    POLL_INITIAL_DELAY: '500ms',
    POLL_MAX_DELAY: '2s',
    LOG_LEVEL: 'silent',
  };
  const startWorker = async (): Promise<Worker> => {
    const port = await freePort();
    const child = spawn(process.execPath, ['dist/cli.js', 'start'], {
      env: { ...env, HTTP_PORT: `${port}` },
      stdio: 'ignore',
    });
    return { child, port };
  };
  const kill = async ({ child }: Worker) => {
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };
  const workers = await Promise.all(Array.from({ length: workerCount }, startWorker));
  const queue = new Queue('cfw-jobs', { prefix: '{cfw}', connection: redis });
  queue.on('error', () => {});
  const producer = new CfwJobProducer({ redis, projectId: PROJECT });

  const jobs = Array.from({ length: count }, () =>
    simulator.addJob({ projectId: PROJECT, durationMs: logNormal(options.medianMs, 0.5, random) }),
  );
  const enqueueing = (async () => {
    for (const [n, { jobId }] of jobs.entries()) {
      // A third comes from raw producers, with ids of their own; some come twice.
      if (n % 3 === 0) await queue.add('x', { jobId, projectId: PROJECT });
      if (n % 3 !== 0 || n % 9 === 0) await producer.enqueue({ jobId });
    }
  })();

  let kills = 0;
  let housekeepers = 0;
  let restarts = 0;
  const ended = async () => await redis.xlen('{cfw}:events');
  for (const until = begun + patienceMs; Date.now() < until && (await ended()) < count; ) {
    await sleep(killEveryMs);
    const housekeeper = kills % 2 === 0 ? await findHousekeeper(workers) : -1;
    const victim = housekeeper === -1 ? Math.floor(random() * workerCount) : housekeeper;
    if (housekeeper !== -1) housekeepers += 1;
    await kill(workers[victim] as Worker);
    workers[victim] = await startWorker();
    kills += 1;
    if (restarts < redisRestarts && (await ended()) >= (count * (restarts + 1)) / (redisRestarts + 2)) {
      restarts += 1;
      const exit = once(server.process, 'exit');
      server.process.kill('SIGKILL');
      await exit;
      await sleep(1_000);
      server = await startPrivateRedis({ args: persistent, again: server });
      say(`Redis was killed and is back (${restarts})`);
    }
    const { waiting = 0, delayed = 0, active = 0 } = await queue.getJobCounts('waiting', 'delayed', 'active');
    say(
      `${await ended()} of ${count} events, ${simulator.calls()} calls, ${kills} workers killed, ${housekeepers} as the housekeeper; ` +
        `${waiting} jobs wait, ${delayed} are parked, ${active} worked on`,
    );
  }
  await enqueueing;
  // A second event for a job would be wrong, so give one the time to show.
  await sleep(2_000);
  const entries = await redis.xrange('{cfw}:events', '-', '+');
  await Promise.all(workers.map(kill));
  await Promise.all([queue.close(), producer.close()]);
  redis.disconnect();
  await simulator.stop();
  await server.stop();

  const events = entries.map(([id, fields]) => fromEntry(id, fields));
  const polls = new Map(events.map(({ subject, data }) => [subject, data.polls]));
  const wrong = wrongEvents(jobs, entries);
  for (const { jobId, callTimes } of jobs) {
    // What a killed worker had not written down is missing, so it can only be too few.
    const told = polls.get(jobId) ?? 1;
    if (told < 1 || told > callTimes.length) wrong.push(`${jobId} has ${callTimes.length} calls, and told ${told}`);
  }
  return { events: events.length, kills, calls: simulator.calls(), tookMs: Date.now() - begun, wrong };
}
