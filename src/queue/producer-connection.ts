import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Queue } from 'bullmq';
import { publishedKey } from '../events/index.js';
import {
  ask,
  checkConnection,
  copyConnection,
  NotConnectedError,
  type RedisClient,
  type RedisConnection,
  RedisUnavailableError,
} from '../redis/index.js';
import { hostTelemetry } from './telemetry.js';

/** Where the producer's commands go. */
export interface ProducerConnectionOptions {
  readonly redis: RedisConnection;
  readonly queueName: string;
  readonly queuePrefix: string;
  readonly eventStream: string;
  /** How long a call waits for Redis, in milliseconds. */
  readonly timeoutMs: number;
}

/** A connection of the producer's own, and the queue on it. */
export interface Opened {
  readonly redis: RedisClient;
  readonly queue: Queue;
}

const FORGET_FINISHED = readFileSync(new URL('./forget-finished.lua', import.meta.url), 'utf8');

/** How long a call waits for a connection if the service has asked on its own one not to wait. */
const IMPATIENT_MS = 2_000;
/** A call that waits for the connection looks this often whether it has run out of time. */
const LOOK_MS = 250;

/** ioredis adds a script as a method, which its types cannot know. */
interface WithForgetFinished {
  cfwForgetFinished(numberOfKeys: number, ...keysAndIds: string[]): Promise<(string | null)[]>;
}

/**
 * The producer's way to Redis: a copy of the connection that it was given, through failovers and connections that go silent.
 * The copy is made when it is needed, and closed after the connection that it was made of has ended: a service that closes
 * its connections must not be kept alive by one that it does not know.
 */
export class ProducerConnection {
  readonly #options: ProducerConnectionOptions;
  /** Calls hardly wait while Redis is away, as the service has asked for on its own connection. */
  readonly #isImpatient: boolean;
  #opened: Opened | undefined;
  #notConnected = new NotConnectedError('not connected yet');
  #calls = 0;
  readonly #closeIfIdle = () => {
    if (this.#calls === 0 && this.#options.redis.status === 'end') void this.close();
  };

  /** @throws {InvalidOptionError} if the connection cannot be used. */
  constructor(options: ProducerConnectionOptions) {
    const { enableOfflineQueue } = checkConnection(options.redis).options;
    this.#options = options;
    this.#isImpatient = enableOfflineQueue === false;
  }

  /**
   * Does something that may be done twice.
   *
   * @throws {RedisUnavailableError} after `timeoutMs`.
   */
  async use<T>(work: (opened: Opened) => Promise<T>): Promise<T> {
    const opened = this.#open();
    const { redis } = opened;
    const isReady = () => redis.status === 'ready';
    const { timeoutMs } = this.#options;
    let brokenSince: number | undefined;
    const attempt = async () => {
      if (isReady()) brokenSince = undefined;
      else brokenSince ??= performance.now();
      // ioredis would queue the commands, and do when Redis is back what has been given up.
      if (!isReady()) await readySoon(redis);
      if (isReady()) return await (this.#isImpatient ? this.#whileConnected(redis, work(opened)) : work(opened));
      if (this.#isImpatient && performance.now() - (brokenSince ?? 0) >= IMPATIENT_MS) throw this.#unavailable();
      throw this.#notConnected;
    };
    this.#calls += 1;
    try {
      return await ask(redis, attempt, { withinMs: timeoutMs });
    } finally {
      this.#calls -= 1;
      this.#closeIfIdle();
    }
  }

  /**
   * How jobs ended, of those whose end is remembered; the others can be added to the queue once this has been called.
   *
   * @param queueJobIds their BullMQ ids.
   */
  async forgetFinished(queueJobIds: readonly string[]): Promise<('completed' | 'failed' | undefined)[]> {
    const { eventStream } = this.#options;
    const ends = await this.use(async ({ redis, queue }) => {
      const keys = [queue.toKey('completed'), queue.toKey('failed')];
      for (const id of queueJobIds) keys.push(queue.toKey(id), publishedKey(eventStream, id));
      return await (redis as unknown as WithForgetFinished).cfwForgetFinished(keys.length, ...keys, ...queueJobIds);
    });
    return ends.map((end) => {
      if (end === null) return undefined;
      return end.endsWith(' completed') ? 'completed' : 'failed';
    });
  }

  /** Closes the copy; a further call makes another one. */
  async close(): Promise<void> {
    const { redis, queue } = this.#opened ?? {};
    if (redis === undefined) return;
    this.#opened = undefined;
    this.#original.off('end', this.#closeIfIdle);
    // BullMQ waits for its first connection, which may never come about.
    const closed = queue?.close();
    redis.disconnect();
    await closed?.catch(() => {});
  }

  /** The answer, unless the connection breaks and is not back for a while: ioredis would wait for it without a bound. */
  async #whileConnected<T>(redis: RedisClient, answer: Promise<T>): Promise<T> {
    let brokenSince: number | undefined;
    let timer: NodeJS.Timeout | undefined;
    const broken = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        if (redis.status === 'ready') brokenSince = undefined;
        else brokenSince ??= performance.now();
        if (brokenSince !== undefined && performance.now() - brokenSince >= IMPATIENT_MS) reject(this.#unavailable());
      }, LOOK_MS);
    });
    try {
      return await Promise.race([answer, broken]);
    } finally {
      clearInterval(timer);
    }
  }

  #unavailable(): RedisUnavailableError {
    const cause = this.#notConnected;
    const message = `Redis cannot be used: nothing but "${cause.message}" for ${IMPATIENT_MS / 1_000} s`;
    return new RedisUnavailableError(message, { cause });
  }

  #open(): Opened {
    if (this.#opened !== undefined) return this.#opened;
    const { queueName, queuePrefix } = this.#options;
    const redis = copyConnection(this.#options.redis, (error) => {
      this.#notConnected = new NotConnectedError(error.message, { cause: error });
    });
    redis.on('ready', () => {
      this.#notConnected = new NotConnectedError('the connection broke');
    });
    // One for each call that waits. BullMQ adds to the bound, so it cannot be 0.
    redis.setMaxListeners(Number.POSITIVE_INFINITY);
    redis.defineCommand('cfwForgetFinished', { lua: FORGET_FINISHED });
    const queue = new Queue(queueName, { connection: redis, prefix: queuePrefix, ...hostTelemetry() });
    // Each call reports what went wrong; without a listener BullMQ prints.
    queue.on('error', () => {});
    // Many producers may share one connection.
    this.#original.setMaxListeners(this.#original.getMaxListeners() + 1);
    this.#original.on('end', this.#closeIfIdle);
    this.#opened = { redis, queue };
    return this.#opened;
  }

  /** The connection that the copy is made of. */
  get #original(): RedisClient {
    return this.#options.redis as unknown as RedisClient;
  }
}

async function readySoon(redis: RedisClient): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), LOOK_MS);
  await once(redis, 'ready', { signal: late.signal }).catch(() => {});
  clearTimeout(timer);
}
