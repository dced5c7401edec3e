import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

/** How to run it. */
export interface PrivateRedisOptions {
  /** Further arguments of redis-server. */
  readonly args?: readonly string[];
  /** Port, folder and password of an earlier one, to take up its data again. */
  readonly again?: Pick<PrivateRedis, 'port' | 'folder' | 'password'>;
}

/** A redis-server of our own, on loopback, with a password, and its data in a folder of its own. */
export interface PrivateRedis {
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  readonly password: string;
  readonly process: ChildProcess;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

/** There is no redis-server on this machine. */
export class NoRedisServerError extends Error {
  override readonly name = 'NoRedisServerError';
}

const START_TIMEOUT_MS = 10_000;

/**
 * Starts a redis-server on a free port. It shares nothing with any other Redis on the machine.
 *
 * @throws {NoRedisServerError} if the program is not installed.
 */
export async function startPrivateRedis({ args = [], again }: PrivateRedisOptions = {}): Promise<PrivateRedis> {
  const folder = again?.folder ?? (await mkdtemp(join(tmpdir(), 'cfw-job-poller-redis-')));
  const password = again?.password ?? randomBytes(16).toString('hex');
  for (let tries = 1; ; tries += 1) {
    const port = again?.port ?? (await freePort());
    const settings = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--requirepass', password];
    const child = spawn(
      'redis-server',
      [...settings, '--save', '', '--maxmemory-policy', 'noeviction', '--daemonize', 'no', ...args],
      // In a process group of its own: Ctrl-C in a terminal reaches us, and we end it when nothing needs it any more.
      { stdio: 'ignore', detached: true },
    );
    const url = `redis://:${password}@127.0.0.1:${port}`;
    // However this process ends, be it by a mistake or a second Ctrl-C: nothing stays.
    const onExit = () => {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    };
    process.once('exit', onExit);
    try {
      await ready(child, url);
      return {
        url,
        port,
        folder,
        password,
        process: child,
        stop: async () => {
          await ended(child);
          await rm(folder, { recursive: true, force: true });
          process.off('exit', onExit);
        },
      };
    } catch (error) {
      process.off('exit', onExit);
      await ended(child);
      // Another process may have taken the port in the meantime.
      if (error instanceof NoRedisServerError || tries === 3) {
        if (again === undefined) await rm(folder, { recursive: true, force: true });
        throw error;
      }
    }
  }
}

async function ready(child: ChildProcess, url: string): Promise<void> {
  let failure: Error | undefined;
  child.once('error', (error: NodeJS.ErrnoException) => {
    failure =
      error.code === 'ENOENT'
        ? new NoRedisServerError('redis-server is not installed: "npm run setup" or your package manager installs it')
        : error;
  });
  child.once('exit', (code) => {
    failure ??= new Error(`redis-server ended with code ${code}`);
  });
  const probe = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  probe.on('error', () => {});
  try {
    for (const until = Date.now() + START_TIMEOUT_MS; Date.now() < until; ) {
      if (failure !== undefined) throw failure;
      // "PONG" comes once the data is loaded.
      const answer = await probe
        .connect()
        .then(() => probe.ping())
        .catch(() => undefined);
      if (answer === 'PONG') return;
      probe.disconnect();
      await sleep(20);
    }
    throw new Error('redis-server did not answer in time');
  } finally {
    probe.disconnect();
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exit;
}

/**
 * A port on loopback that is free just now. It lies below the range from which systems give ports to outgoing connections and
 * to servers that listen on port 0, so other programs rarely take it before its server starts or while that is down.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = randomInt(12_000, 32_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
  throw new Error('no free port');
}
