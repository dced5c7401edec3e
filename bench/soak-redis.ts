import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort, type PrivateRedis, startPrivateRedis } from '../src/demo/private-redis.js';
import type { Link } from './link.js';

const PERSISTENT = ['--appendonly', 'yes', '--appendfsync', 'always'];
const FAILOVER_LIMIT_MS = 15_000;

interface Server {
  redis: PrivateRedis;
  /** Straight to it, not through the link. */
  readonly admin: Redis;
}

/** A master and a replica that can change roles. Failovers lose nothing: the replica has caught up before it takes over. */
export class RedisPair {
  #master: Server;
  #replica: Server;
  readonly #args: readonly string[];

  private constructor(master: Server, replica: Server, args: readonly string[]) {
    this.#master = master;
    this.#replica = replica;
    this.#args = args;
  }

  static async start(): Promise<RedisPair> {
    const first = await startPrivateRedis({ args: PERSISTENT });
    const { password } = first;
    const args = [...PERSISTENT, '--masterauth', password];
    const folder = await mkdtemp(join(tmpdir(), 'cfw-job-poller-redis-'));
    const second = await startPrivateRedis({ args, again: { port: await freePort(), folder, password } });
    const pair = new RedisPair(server(first), server(second), args);
    await pair.#master.admin.config('SET', 'masterauth', password);
    await pair.#replica.admin.replicaof('127.0.0.1', first.port);
    return pair;
  }

  get port(): number {
    return this.#master.redis.port;
  }

  get password(): string {
    return this.#master.redis.password;
  }

  get admin(): Redis {
    return this.#master.admin;
  }

  /** SIGKILL; it comes back with its data after a while. */
  async restart(awayMs: number): Promise<void> {
    const master = this.#master;
    const exit = once(master.redis.process, 'exit');
    master.redis.process.kill('SIGKILL');
    await exit;
    await sleep(awayMs);
    master.redis = await startPrivateRedis({ args: this.#args, again: master.redis });
  }

  /** It stands still and keeps its connections. */
  async pause(forMs: number): Promise<void> {
    this.#master.redis.process.kill('SIGSTOP');
    await sleep(forMs);
    this.#master.redis.process.kill('SIGCONT');
  }

  /** It refuses what needs memory. */
  async fill(forMs: number): Promise<void> {
    await this.#master.admin.config('SET', 'maxmemory', '1mb');
    await sleep(forMs);
    await this.#master.admin.config('SET', 'maxmemory', '0');
  }

  /**
   * The replica takes over; for a while the address still leads to the old master, which refuses writes (READONLY), and
   * connections that are open stay on it.
   *
   * @returns false when the replica had not caught up, so that nothing was done.
   */
  async failover(link: Link, staleMs: number): Promise<boolean> {
    const [from, to] = [this.#master, this.#replica];
    const isReady = /slave0:.*state=online/.test(await from.admin.info('replication'));
    if (!isReady) return false;
    await from.admin.call('FAILOVER', 'TO', '127.0.0.1', String(to.redis.port), 'TIMEOUT', String(FAILOVER_LIMIT_MS));
    for (const until = Date.now() + FAILOVER_LIMIT_MS; Date.now() < until; await sleep(50)) {
      const [role] = (await to.admin.call('ROLE')) as string[];
      if (role !== 'master') continue;
      [this.#master, this.#replica] = [to, from];
      await sleep(staleMs);
      link.target = to.redis.port;
      return true;
    }
    return false;
  }

  async stop(): Promise<void> {
    for (const { redis, admin } of [this.#master, this.#replica]) {
      admin.disconnect();
      await redis.stop();
    }
  }
}

function server(redis: PrivateRedis): Server {
  const admin = new Redis(redis.url, { maxRetriesPerRequest: null, retryStrategy: () => 100 });
  admin.on('error', () => {});
  return { redis, admin };
}
