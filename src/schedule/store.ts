import { readFileSync } from 'node:fs';
import type { RedisClient } from '../redis/index.js';
import { BIN_COUNT, type Observation } from './durations.js';
import { type Knowledge, NOTHING_KNOWN } from './learned.js';

const LEARN = readFileSync(new URL('./learn.lua', import.meta.url), 'utf8');

/** Jobs after which older ones count half, if that many end quickly enough for it not to take longer. */
const JOBS_OF_AN_ERA = 300;

/** ioredis adds a script as a method, which its types cannot know. */
interface WithLearn {
  cfwLearn(key: string, ...args: (string | number)[]): Promise<number>;
}

/** Whose durations are remembered. */
export interface DurationStoreOptions {
  readonly redis: RedisClient;
  readonly queueName: string;
  readonly queuePrefix: string;
}

/**
 * How long the jobs of one queue took: a hash in Redis of at most about a thousand numbers, which all processes add to and
 * read. It has no end of life; `reset` forgets.
 */
export class DurationStore {
  readonly #redis: RedisClient;
  readonly #key: string;

  constructor({ redis, queueName, queuePrefix }: DurationStoreOptions) {
    redis.defineCommand('cfwLearn', { numberOfKeys: 1, lua: LEARN });
    this.#redis = redis;
    this.#key = `${queuePrefix}:durations:${queueName}`;
  }

  /**
   * Adds a job, by one command.
   *
   * @param eraMs older jobs are made to count half not sooner than this after the last time, in milliseconds.
   */
  async learn({ kind, bin }: Observation, eraMs: number, now: number = Date.now()): Promise<void> {
    const field = `${kind === 'ended' ? 'e' : 'g'}${bin}`;
    await (this.#redis as unknown as WithLearn).cfwLearn(this.#key, field, now, JOBS_OF_AN_ERA, eraMs);
  }

  /** Reads it, by one command. Others can reach it, too: an invalid one is ignored. */
  async read(now: number = Date.now()): Promise<Knowledge> {
    const fields = await this.#redis.hgetall(this.#key);
    const count = (prefix: string) =>
      Array.from({ length: BIN_COUNT }, (_, bin) => {
        const jobs = Number(fields[prefix + bin] ?? 0);
        return jobs > 0 && Number.isFinite(jobs) ? jobs : 0;
      });
    const since = Number(fields.since);
    if (!(since > 0)) return NOTHING_KNOWN;
    return { durations: { ended: count('e'), givenUp: count('g') }, watchedMs: Math.max(0, now - since) };
  }

  /** Forgets all of it: the schedule is the exponential backoff again. */
  async reset(): Promise<void> {
    await this.#redis.del(this.#key);
  }
}
