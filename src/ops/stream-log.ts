import type { Logger } from './logger.js';
import { type GroupState, StreamWatch, type StreamWatchOptions } from './stream-watch.js';

/** How often the stream is looked at: often enough to act on a warning, seldom enough to cost nothing. */
const LOOK_EVERY_MS = 30_000;

/**
 * Watches that trimming takes nothing that a group has not acknowledged, and logs where it is about to or has.
 *
 * @returns the watch, whose `state` has the numbers of the last look, and how to end it.
 */
export function watchStream(
  options: Omit<StreamWatchOptions, 'onDanger' | 'onLost'>,
  logger: Logger,
): { readonly watch: StreamWatch; readonly stop: () => void } {
  const fields = ({ group, lag, pending, room }: GroupState) => ({ stream: options.stream, group, lag, pending, room });
  const watch = new StreamWatch({
    ...options,
    onDanger: (group) =>
      logger.warn(fields(group), 'a group is far behind: events that it has not acknowledged are about to be trimmed'),
    onLost: (group, lost) =>
      logger.error({ ...fields(group), lost }, 'events were trimmed that a group had not acknowledged'),
  });
  // Where Redis is away it is asked again the next time; that it is away is told elsewhere.
  const look = () => void watch.look().catch((err) => logger.debug({ err }, 'the stream could not be looked at'));
  const timer = setInterval(look, LOOK_EVERY_MS);
  look();
  return { watch, stop: () => clearInterval(timer) };
}
