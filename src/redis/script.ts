import type { RedisClient } from './client.js';

/**
 * Adds a Lua script of ours to a connection, as a command.
 *
 * @param command its name among the connection's commands.
 * @param keyCount how many of its arguments, from the first on, are keys.
 */
export function defineScript<Result>(redis: RedisClient, command: string, keyCount: number, lua: string) {
  redis.defineCommand(command, { numberOfKeys: keyCount, lua });
  // ioredis adds scripts as methods, which its types cannot know.
  const commands = redis as unknown as Record<string, (...args: (string | number)[]) => Promise<Result>>;
  return (...args: (string | number)[]): Promise<Result> => (commands[command] as (typeof commands)[string])(...args);
}
