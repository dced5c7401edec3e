import type { Redis } from 'ioredis';

/** Milliseconds after which a server that takes the connection, and then sends nothing, is given up. */
const HANDSHAKE_MS = 12_000;

/**
 * ioredis bounds the connecting, but not the wait for what it asks first. A proxy whose server is away takes connections and says
 * nothing, and may keep them when the server is back. A server that loads its data is asked every 10 s at least, and answers.
 */
export function boundHandshake(redis: Redis): void {
  redis.on('connect', () => {
    const { stream } = redis;
    let { bytesRead } = stream;
    const timer = setInterval(() => {
      if (redis.stream !== stream || redis.status !== 'connect') clearInterval(timer);
      else if (stream.bytesRead > bytesRead) ({ bytesRead } = stream);
      else stream.destroy(new Error(`Redis has not answered for ${HANDSHAKE_MS / 1_000} s`));
    }, HANDSHAKE_MS).unref();
  });
}

/**
 * ioredis goes on in database 0 when the one that was asked for is refused: jobs and events would be mixed with those of another
 * environment. The connection is closed instead, with the refusal as its error.
 */
export function requireDatabase(redis: Redis): void {
  const { select } = redis;
  redis.select = (async (db: number) => {
    try {
      return await select.call(redis, db);
    } catch (error) {
      // This one comes while ioredis finds out which protocol to log in by.
      if (!(error as Error).message.startsWith('NOAUTH')) redis.stream.destroy();
      throw error;
    }
  }) as Redis['select'];
}
