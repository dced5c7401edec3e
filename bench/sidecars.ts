import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallLog } from './fast-cloud-process.js';
import { cpuMs, machineCpuMs, type RedisWork, redisWork, rssMb } from './meters.js';
import type { Child } from './processes.js';
import type { Setting } from './setting.js';
import type { Version } from './versions.js';

/** Twenty that start on a busy machine take a minute. */
const READY_TIMEOUT_MS = 180_000;
/** Sidecars that start at the same time. */
const STARTING = 4;

/** However this process ends, it leaves no sidecar behind. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A sidecar, started by its command and configured by its environment: any version of it. */
export class Sidecar {
  readonly process: ChildProcess;
  /** What it signs its calls with; it names the sidecar in the cloud's log. */
  readonly token: string;
  readonly url: string;

  private constructor(process: ChildProcess, token: string, url: string) {
    this.process = process;
    this.token = token;
    this.url = url;
  }

  static async start({ cli }: Version, env: Record<string, string>): Promise<Sidecar> {
    const port = await freePort();
    const child = spawn(process.execPath, [cli, 'start'], {
      env: { PATH: process.env.PATH ?? '', NODE_ENV: 'production', ...env, HTTP_PORT: `${port}`, LOG_LEVEL: 'silent' },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    const sidecar = new Sidecar(child, env.CFW_AUTH_TOKEN ?? '', `http://127.0.0.1:${port}`);
    await sidecar.#ready();
    return sidecar;
  }

  get ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  get cpuMs(): number {
    return cpuMs(this.process.pid as number);
  }

  get rssMb(): number {
    return rssMb(this.process.pid as number);
  }

  /** A metric without labels, or with any; undefined if this version has none of that name. */
  async metric(name: string): Promise<number | undefined> {
    const text = await fetch(`${this.url}/metrics`)
      .then((answer) => answer.text())
      .catch(() => '');
    const value = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  }

  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.ended) return;
    const exit = once(this.process, 'exit');
    this.process.kill(signal);
    await exit;
  }

  async #ready(): Promise<void> {
    let last = 'no answer';
    for (const until = Date.now() + READY_TIMEOUT_MS; Date.now() < until; await sleep(100)) {
      if (this.ended) throw new Error(`a sidecar ended with code ${this.process.exitCode} before it was ready`);
      const ready = await fetch(`${this.url}/readyz`).catch(() => undefined);
      last = (await ready?.text()) ?? last;
      if (ready?.ok === true) return;
    }
    throw new Error(`a sidecar was not ready after ${READY_TIMEOUT_MS / 1_000} s: ${last}`);
  }
}

/** What a fleet did within some time. */
export interface FleetWork {
  readonly seconds: number;
  readonly redis: RedisWork;
  /** Processor time of each sidecar. */
  readonly cpuMs: readonly number[];
  readonly log: CallLog;
  /** Share of the machine's processors that other processes took, in percent: figures beside a large one are worth little. */
  readonly disturbed: number;
}

/** Sidecars of one version on one queue, and the cloud that they poll. */
export class Fleet {
  readonly cloud: Child;
  readonly sidecars: Sidecar[] = [];
  readonly #setting: Setting;
  readonly #version: Version;
  readonly #env: Record<string, string>;
  #started = 0;

  private constructor(setting: Setting, version: Version, cloud: Child, env: Record<string, string>) {
    this.cloud = cloud;
    this.#setting = setting;
    this.#version = version;
    this.#env = env;
  }

  static async start(setting: Setting, version: Version, size: number, env: Record<string, string>): Promise<Fleet> {
    const cloud = await setting.child('fast-cloud-process');
    const url = await cloud.ask<string>('url');
    const fleet = new Fleet(setting, version, cloud, { ...setting.environment, CFW_ENDPOINT: url, ...env });
    while (fleet.sidecars.length < size) {
      const more = Math.min(STARTING, size - fleet.sidecars.length);
      await Promise.all(Array.from({ length: more }, () => fleet.add()));
    }
    return fleet;
  }

  /** Starts one more sidecar, of another version if one is given, and waits until it is ready. */
  async add(env: Record<string, string> = {}, version = this.#version): Promise<Sidecar> {
    this.#started += 1;
    const token = `token-of-sidecar-${this.#started}`;
    const sidecar = await Sidecar.start(version, { ...this.#env, ...env, CFW_AUTH_TOKEN: token });
    this.sidecars.push(sidecar);
    return sidecar;
  }

  async kill(sidecar: Sidecar): Promise<void> {
    this.sidecars.splice(this.sidecars.indexOf(sidecar), 1);
    await sidecar.end();
  }

  /**
   * Measures for so long.
   *
   * @throws {Error} if a sidecar ends by itself.
   */
  async measure(ms: number): Promise<FleetWork> {
    const before = await this.#read();
    await sleep(ms);
    if (this.sidecars.some(({ ended }) => ended)) throw new Error('a sidecar ended while it was measured');
    const after = await this.#read();
    const log = await this.cloud.ask<CallLog>('log', { from: before.at, to: after.at });
    return {
      seconds: (after.at - before.at) / 1_000,
      redis: {
        cpuMs: after.redis.cpuMs - before.redis.cpuMs,
        commands: after.redis.commands - before.redis.commands,
        scripts: after.redis.scripts - before.redis.scripts,
      },
      disturbed: ((after.othersMs - before.othersMs) / (after.at - before.at) / cpus().length) * 100,
      cpuMs: after.cpuMs.map((ms, n) => ms - (before.cpuMs[n] as number)),
      log,
    };
  }

  /** Ends everything and empties Redis. */
  async end(): Promise<void> {
    await Promise.all(this.sidecars.map((sidecar) => sidecar.end()));
    await this.#setting.reset();
  }

  async #read() {
    const redis = await redisWork(this.#setting.redis);
    const own = this.sidecars.map((sidecar) => sidecar.cpuMs);
    const beside = [process.pid, this.cloud.process.pid as number, this.#setting.redisPid].map(cpuMs);
    const othersMs = machineCpuMs() - [...own, ...beside].reduce((total, ms) => total + ms, 0);
    return { redis, cpuMs: own, othersMs, at: performance.timeOrigin + performance.now() };
  }
}

/** A port on loopback that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
