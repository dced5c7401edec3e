import { ask, copyConnection, type RedisClient, RedisUnavailableError } from '../redis/index.js';

/** A person waits for the answer. */
const WITHIN_MS = 4_000;

/**
 * Reads from the stream once, as a reader does, which itself waits for Redis for ever. A Cluster that is down answers PING all
 * the same, and a Redis that has no connection left refuses the further one that a reader makes.
 *
 * @throws {RedisUnavailableError} if there was no answer.
 */
export async function checkReadable(redis: RedisClient, stream: string): Promise<void> {
  let refusal: Error | undefined;
  const reader = copyConnection(redis, (error) => {
    refusal = error;
  });
  try {
    await ask(reader, () => reader.xrevrange(stream, '+', '-', 'COUNT', 1), { withinMs: WITHIN_MS });
  } catch (error) {
    if (!(error instanceof RedisUnavailableError) || refusal === undefined) throw error;
    throw new RedisUnavailableError(error.message, { cause: refusal });
  } finally {
    reader.disconnect();
  }
}
