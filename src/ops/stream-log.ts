import * as z from 'zod';
import type { Duty } from '../queue/index.js';
import type { Logger } from './logger.js';
import { type GroupState, type StreamState, StreamWatch, type StreamWatchOptions } from './stream-watch.js';

/** How often the stream is looked at, in milliseconds: often enough to act on a warning, seldom enough to cost nothing. */
const LOOK_EVERY_MS = 30_000;
const NAME = 'stream';

/** The housekeeper may be another process, perhaps of another version. */
const stateSchema: z.ZodType<StreamState> = z.object({
  length: z.number(),
  groups: z.array(
    z.object({
      group: z.string(),
      lag: z.number().nullable(),
      pending: z.number(),
      room: z.number().nullable(),
      endangered: z.boolean(),
      lost: z.number(),
    }),
  ),
  dangers: z.number(),
});

/** The duty to watch that trimming takes nothing that a group has not acknowledged. It logs if trimming is about to, or has. */
export function streamDuty(options: Omit<StreamWatchOptions, 'onDanger' | 'onLost'>, logger: Logger): Duty {
  const fields = ({ group, lag, pending, room }: GroupState) => ({ stream: options.stream, group, lag, pending, room });
  const watch = new StreamWatch({
    ...options,
    onDanger: (group) => logger.warn(fields(group), 'unacknowledged events are about to be trimmed'),
    onLost: (group, lost) => logger.error({ ...fields(group), lost }, 'unacknowledged events were trimmed'),
  });
  return { name: NAME, everyMs: LOOK_EVERY_MS, run: () => watch.look() };
}

/**
 * What the housekeeper's watch of the stream found last.
 *
 * @param found what a duty found, by its name.
 */
export function streamState(found: (duty: string) => unknown): StreamState | undefined {
  return stateSchema.safeParse(found(NAME)).data;
}
