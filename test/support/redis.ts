import { afterAll, afterEach, beforeAll } from '@jest/globals';
import { Redis } from 'ioredis';
import { type PrivateRedis, startPrivateRedis } from '../../src/demo/private-redis.js';
import { type CfwJobEvent, fromEntry } from '../../src/events/index.js';
import { eventually } from './eventually.js';

export const STREAM = '{cfw}:events';

/** A redis-server of this test's own, and a connection to it. */
export class TestRedis {
  readonly client: Redis;
  #server: PrivateRedis;
  readonly #args: readonly string[];

  constructor(server: PrivateRedis, args: readonly string[]) {
    this.#server = server;
    this.#args = args;
    this.client = new Redis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 });
    this.client.on('error', () => {});
  }

  static async start({ appendOnly = false } = {}): Promise<TestRedis> {
    const args = appendOnly ? ['--appendonly', 'yes', '--appendfsync', 'always'] : [];
    return new TestRedis(await startPrivateRedis({ args }), args);
  }

  get url(): string {
    return this.#server.url;
  }

  get folder(): string {
    return this.#server.folder;
  }

  /** The process, for tests that stop or freeze it. */
  get process() {
    return this.#server.process;
  }

  /** SIGKILL; what was not in the append-only file is gone. */
  async crash(): Promise<void> {
    const exit = new Promise((resolve) => this.#server.process.once('exit', resolve));
    this.#server.process.kill('SIGKILL');
    await exit;
  }

  /** Starts it again on the same port with the same data. */
  async restart(): Promise<void> {
    this.#server = await startPrivateRedis({ args: this.#args, again: this.#server });
  }

  /** The connections to it, as it lists them. */
  async connections(): Promise<string[]> {
    return String(await this.client.client('LIST'))
      .trim()
      .split('\n');
  }

  /** All events on the stream, oldest first. */
  async events(): Promise<CfwJobEvent[]> {
    return (await this.client.xrange(STREAM, '-', '+')).map(([id, fields]) => fromEntry(id, fields));
  }

  /** Waits until so many events are there, and returns all that are. */
  async waitForEvents(count: number): Promise<CfwJobEvent[]> {
    await eventually(async () => (await this.client.xlen(STREAM)) >= count, { what: `${count} events` });
    return await this.events();
  }

  /** Starts or thaws it if a test that failed halfway has left it dead or frozen: the next one would fail for that alone. */
  async revive(): Promise<void> {
    const { exitCode, signalCode } = this.#server.process;
    if (exitCode !== null || signalCode !== null) await this.restart();
    else this.#server.process.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    this.client.disconnect();
    await this.#server.stop();
  }
}

/** One redis-server for all tests of a file; each test begins with it empty where it calls `flushall` itself. */
export function useRedis(options: { appendOnly?: boolean } = {}): { readonly redis: TestRedis } {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await TestRedis.start(options);
  });
  afterEach(async () => {
    await redis.revive();
  });
  afterAll(async () => {
    await redis.stop();
  });
  return {
    get redis() {
      return redis;
    },
  };
}
