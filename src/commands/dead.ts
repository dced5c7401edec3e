import type { BaseConfig } from '../config/index.js';
import {
  type DeadLetter,
  dropDeadLetter,
  findDeadLetter,
  listDeadLetters,
  type ReplayResult,
  replayDeadLetter,
} from '../consumers/index.js';
import type { RedisClient } from '../redis/index.js';
import { withCommandRedis } from '../redis/index.js';
import type { Terminal } from './terminal.js';

/** Which dead letters are meant. */
export interface DeadSelection {
  /** Their ids, as `list` prints them. */
  readonly letterIds: readonly string[];
  /** All of them; with `group`, all of that group. */
  readonly all: boolean;
  readonly group: string | undefined;
}

/** Prints the dead letters, oldest first. */
export async function listDead(
  config: BaseConfig,
  { group, json }: { readonly group: string | undefined; readonly json: boolean },
  terminal: Terminal,
): Promise<void> {
  await withCommandRedis(config.redis, async (redis) => {
    if (!json && terminal.isTerminal) terminal.print(terminal.style('dim', HEADER));
    for await (const letter of listDeadLetters(redis, config.events.stream, { group })) {
      terminal.print(json ? JSON.stringify(letter) : line(letter));
    }
  });
}

/**
 * Gives dead letters to their groups once more.
 *
 * @returns whether each could be.
 */
export async function replayDead(config: BaseConfig, selection: DeadSelection, terminal: Terminal): Promise<boolean> {
  const why: Readonly<Record<ReplayResult, string>> = {
    replayed: 'replayed',
    trimmed: 'the stream has trimmed its entry; the dead letter was kept',
    'no-group': 'its group does not exist any more; the dead letter was kept',
  };
  return await forEach(config, selection, terminal, async (redis, letter) => {
    const result = await replayDeadLetter(redis, config.events.stream, letter);
    return { done: result === 'replayed', text: why[result] };
  });
}

/**
 * Forgets dead letters.
 *
 * @returns whether each was there.
 */
export async function dropDead(config: BaseConfig, selection: DeadSelection, terminal: Terminal): Promise<boolean> {
  return await forEach(config, selection, terminal, async (redis, letter) => {
    await dropDeadLetter(redis, config.events.stream, letter.letterId);
    return { done: true, text: 'dropped' };
  });
}

async function forEach(
  config: BaseConfig,
  { letterIds, all, group }: DeadSelection,
  terminal: Terminal,
  act: (redis: RedisClient, letter: DeadLetter) => Promise<{ done: boolean; text: string }>,
): Promise<boolean> {
  const { stream } = config.events;
  let allDone = true;
  return await withCommandRedis(config.redis, async (redis) => {
    const each = async (letter: DeadLetter) => {
      const { done, text } = await act(redis, letter);
      allDone &&= done;
      terminal.print(`${letter.letterId}  ${letter.group}  ${text}`);
    };
    if (all) {
      for await (const letter of listDeadLetters(redis, stream, { group })) await each(letter);
    }
    for (const letterId of letterIds) {
      const letter = await findDeadLetter(redis, stream, letterId);
      if (letter !== undefined && (group === undefined || letter.group === group)) {
        await each(letter);
      } else {
        allDone = false;
        process.stderr.write(`${letterId}: there is no such dead letter\n`);
      }
    }
    return allDone;
  });
}

const columns = (letterId: string, time: string, group: string, deliveries: string, job: string, error: string) =>
  `${letterId.padEnd(17)}  ${time.padEnd(24)}  ${group.padEnd(15)}  ${deliveries.padStart(5)}  ${job}  ${error}`;

const HEADER = columns('ID', 'DEAD SINCE', 'GROUP', 'TRIES', 'PROJECT/JOB', 'ERROR');

function line({ letterId, time, group, deliveries, event, entryId, error }: DeadLetter): string {
  const job = event === null ? `entry ${entryId}` : `${event.data.projectId ?? '-'}/${event.id}`;
  // An error may have several lines; the table has one for each letter.
  return columns(letterId, time, group, String(deliveries), job, error.replace(/\s+/g, ' '));
}
