import type { Socket } from 'node:net';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig, TlsConfig } from '../config/index.js';
import { isCluster, type RedisClient } from './client.js';
import { CLUSTER_RETRIES, retryForEver, SENTINEL_ANSWER_MS } from './copy.js';
import { isDemoted, RedisUnavailableError } from './errors.js';
import { boundHandshake, requireDatabase } from './handshake.js';

const COMMON = {
  connectionName: 'cfw-job-poller',
  // Finds connections whose other end is gone without a word.
  keepAlive: 10_000,
  connectTimeout: 5_000,
  // A server that is gone without a word does not answer the end of a connection. If that connection were closed only after
  // another one had taken its place, ioredis would connect once more, and nothing would end that.
  disconnectTimeout: 50,
  // CLIENT SETINFO would be one more command to permit, and says nothing that the name does not.
  disableClientInfo: true,
} satisfies RedisOptions;

/** A server that was the master and is not any more says so; reconnecting finds the one that is, and asks it again. */
const reconnectOnError = (error: Error) => (/READONLY|UNBLOCKED/.test(error.message) ? 2 : false);

/** How Redis's servers are found again. */
interface Patience {
  /** The pause before connecting is tried for the `times`-th time; null gives up. */
  readonly retry: (times: number) => number | null;
  readonly lazyConnect: boolean;
  /** Bound of one command, in milliseconds. */
  readonly commandTimeout?: number;
  /** Whether an error makes ioredis reconnect and send the command again. */
  readonly reconnectOnError?: (error: Error) => 2 | false;
}

/**
 * A connection for a service: it reconnects for ever, and commands wait for it rather than fail. ioredis sends commands
 * again that were under way when the connection broke, so each must be safe to run twice.
 */
export function serviceRedis(config: RedisConfig): RedisClient {
  const redis = connect(config, { retry: retryForEver, lazyConnect: false, reconnectOnError });
  return isCluster(redis) ? redis : writeTogether(redis);
}

/**
 * What is sent in one turn of the event loop goes out in one write: jobs leave several at a time. ioredis's automatic pipelines
 * do so too, but each is an object that gets all scripts of BullMQ as methods, which costs as much as it spares.
 */
function writeTogether(redis: Redis): Redis {
  const { sendCommand } = redis;
  redis.sendCommand = (command, pipeline) => {
    const { stream } = redis as { readonly stream: Socket | undefined };
    if (stream?.writableCorked === 0) {
      stream.cork();
      setImmediate(() => stream.uncork());
    }
    return sendCommand.call(redis, command, pipeline);
  };
  return redis;
}

/** How long a command waits for Redis to answer for the first time, in milliseconds. */
const FIRST_ANSWER_MS = 5_000;
/** How long a command waits for each further answer. */
const ANSWER_MS = 5_000;

/**
 * Lends a command that a person waits for a connection. It never waits without a bound: a Redis that cannot be reached, is
 * silent, is a replica or refuses ends it with one sentence.
 *
 * @throws {RedisUnavailableError} if Redis cannot be used.
 */
export async function withCommandRedis<T>(config: RedisConfig, use: (redis: RedisClient) => Promise<T>): Promise<T> {
  const redis = await commandRedis(config);
  try {
    return await use(redis);
  } catch (error) {
    throw inWords(error, address(config, redis));
  } finally {
    redis.disconnect();
  }
}

/**
 * A connection for a command that a person waits for: if Redis cannot be reached it says so at once.
 *
 * @throws {RedisUnavailableError}
 */
export async function commandRedis(config: RedisConfig): Promise<RedisClient> {
  let connected = false;
  const redis = connect(config, {
    // Once there, a connection that breaks is made again.
    retry: (times) => (connected ? Math.min(100 * times, 2_000) : null),
    lazyConnect: true,
    commandTimeout: ANSWER_MS,
  });
  let cause: (Error & { lastNodeError?: Error }) | undefined;
  redis.on('error', (error: Error) => {
    cause = error;
  });
  // The bound of connecting does not cover a Redis that takes the connection and is silent. That ioredis is disconnected
  // does not settle what it has promised, for a Cluster that is down or by Sentinels that are silent.
  let isLate = false;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      reject(new Error('no answer'));
    }, FIRST_ANSWER_MS);
  });
  try {
    await Promise.race([redis.connect().then(() => redis.ping()), late]);
  } catch (error) {
    const where = address(config, redis);
    redis.disconnect();
    const silent = isLate || isTimeout(error) ? new Error(`no answer within ${FIRST_ANSWER_MS / 1_000} s`) : undefined;
    const reason = silent ?? cause?.lastNodeError ?? cause ?? (error as Error);
    throw new RedisUnavailableError(`${where} cannot be used: ${plain(reason)}`, { cause: reason });
  } finally {
    clearTimeout(timer);
  }
  connected = true;
  return redis;
}

/** What ioredis and Redis say at length, and for other readers than ours. */
function plain({ message, name }: Error): string {
  if (message.startsWith('NOAUTH')) return 'it asks for a password (NOAUTH), and none is configured';
  if (/^(?:Unknown RESP type|Protocol error)/.test(message)) return 'what answers there is not Redis';
  return message || name;
}

/** Whether a command has run into `commandTimeout`. */
function isTimeout(error: unknown): boolean {
  return (error as Error).message === 'Command timed out';
}

/** Puts what Redis answered to a command into one sentence that says where. */
function inWords(error: unknown, where: string): unknown {
  if (!(error instanceof Error)) return error;
  const answer = error instanceof RedisUnavailableError && error.cause instanceof Error ? error.cause : error;
  const unusable = (why: string) => new RedisUnavailableError(`${where} ${why}`, { cause: error });
  if (isDemoted(answer)) return unusable('is a replica, which takes no writes: point REDIS_URL to its master');
  if (isTimeout(answer)) return unusable(`has not answered for ${ANSWER_MS / 1_000} s`);
  if (answer.name === 'ReplyError' || answer !== error) return unusable(`cannot be used: ${answer.message}`);
  return error;
}

function address(config: RedisConfig, redis: RedisClient): string {
  const list = (addresses: readonly { host: string; port: number }[]) =>
    addresses.map(({ host, port }) => `${host}:${port}`).join(', ');
  if (config.kind === 'sentinel') return `Redis "${config.name}" by the Sentinels at ${list(config.sentinels)}`;
  if (config.kind === 'cluster') return `Redis Cluster at ${list(config.nodes)}`;
  return isCluster(redis) ? 'Redis' : `Redis at ${redis.options.host}:${redis.options.port}`;
}

function connect(config: RedisConfig, { retry, lazyConnect, ...patience }: Patience): RedisClient {
  const login = () => currentLogin(config);
  const options = {
    ...COMMON,
    ...login(),
    ...tlsOptions(config.tls),
    maxRetriesPerRequest: null,
    ...patience,
  };
  switch (config.kind) {
    case 'server': {
      const { protocol, hostname, port, pathname } = new URL(config.url.reveal());
      const tls = protocol === 'rediss:' ? { tls: options.tls ?? {} } : {};
      return keepLogin(
        new Redis({
          ...options,
          ...tls,
          host: hostname.replace(/[[\]]/g, '') || '127.0.0.1',
          port: Number(port || 6379),
          db: Number(pathname.slice(1) || 0),
          retryStrategy: retry,
          lazyConnect,
        }),
        login,
      );
    }
    case 'sentinel':
      return keepLogin(
        new Redis({
          ...options,
          sentinels: [...config.sentinels],
          name: config.name,
          ...(config.sentinelPassword === undefined ? {} : { sentinelPassword: config.sentinelPassword.reveal() }),
          ...(options.tls === undefined ? {} : { sentinelTLS: options.tls, enableTLSForSentinelMode: true }),
          sentinelCommandTimeout: SENTINEL_ANSWER_MS,
          // A master that is cut off, but does not know it yet, is left as soon as the Sentinels have chosen another.
          failoverDetector: true,
          sentinelRetryStrategy: retry,
          retryStrategy: retry,
          lazyConnect,
        }),
        login,
      );
    case 'cluster':
      return keepClusterLogin(
        new Cluster([...config.nodes], {
          redisOptions: { ...options, reconnectOnError: null },
          clusterRetryStrategy: retry,
          ...CLUSTER_RETRIES,
          lazyConnect,
        }),
        login,
      );
    default:
      return config satisfies never;
  }
}

type Login = Pick<RedisOptions, 'username' | 'password'>;

/** User and password as they are now: the file of a secret is read again. */
function currentLogin(config: RedisConfig): Login {
  if (config.kind === 'server') {
    config.url.refresh();
    const { username, password } = new URL(config.url.reveal());
    return {
      ...(username === '' ? {} : { username: decoded(username) }),
      ...(password === '' ? {} : { password: decoded(password) }),
    };
  }
  const { username, password } = config;
  password?.refresh();
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: password.reveal() }),
  };
}

/** A URL has some characters in the form %40; a lone % stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Lets a connection, and each copy that is made of it, log in with the password that is valid then, whenever it
 * reconnects. ioredis knows but the one that it was made with, and BullMQ makes copies of its own.
 */
function keepLogin(redis: Redis, login: () => Login): Redis {
  const { connect, duplicate } = redis;
  boundHandshake(redis);
  requireDatabase(redis);
  redis.connect = ((callback) => {
    Object.assign(redis.options, login());
    return connect.call(redis, callback);
  }) satisfies Redis['connect'];
  redis.duplicate = ((override?: RedisOptions) =>
    keepLogin(duplicate.call(redis, override), login)) as Redis['duplicate'];
  return redis;
}

function keepClusterLogin(cluster: Cluster, login: () => Login): Cluster {
  const { duplicate } = cluster;
  // Each connection to a node is announced before it connects.
  cluster.on('+node', (node: Redis) => {
    keepLogin(node, login);
    // While no master is connected ioredis asks a replica instead. In READONLY mode it would run a script of ours, which fails
    // as it comes to write; without, it names the master.
    node.readonly = async () => 'OK';
  });
  cluster.duplicate = ((...args: Parameters<Cluster['duplicate']>) =>
    keepClusterLogin(duplicate.apply(cluster, args), login)) as Cluster['duplicate'];
  return cluster;
}

function tlsOptions(tls: TlsConfig | undefined): Pick<RedisOptions, 'tls'> {
  if (tls === undefined) return {};
  const { ca, cert, key } = tls;
  return {
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined || key === undefined ? {} : { cert, key: key.reveal() }),
    },
  };
}
