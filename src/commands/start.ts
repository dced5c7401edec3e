import type { Config } from '../config/index.js';
import { createLogger } from '../ops/logger.js';
import { type SidecarOptions, startSidecar } from '../sidecar.js';

/**
 * Runs the sidecar until SIGTERM or SIGINT; a second signal ends the process at once.
 *
 * @throws {UnfitRedisError}
 * @returns false where it could not stop in order, since Redis was away.
 */
export async function start(config: Config, options: SidecarOptions, stop: AbortSignal): Promise<boolean> {
  const sidecar = await startSidecar(config, createLogger(config.logLevel), options);
  const stopped = new Promise<undefined>((resolve) => {
    if (stop.aborted) resolve(undefined);
    else stop.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const unfit = await Promise.race([stopped, sidecar.unfit]);
  const inOrder = await sidecar.stop();
  if (unfit !== undefined) throw unfit;
  return inOrder;
}
