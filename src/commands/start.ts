import type { Config } from '../config.js';
import { createLogger } from '../ops/logger.js';
import { startSidecar } from '../sidecar.js';

/**
 * Runs the sidecar until SIGTERM or SIGINT; a second signal ends the process at once.
 *
 * @returns false where it could not stop in order, since Redis was away.
 */
export async function start(config: Config, stop: AbortSignal): Promise<boolean> {
  const sidecar = await startSidecar(config, createLogger(config.logLevel));
  if (!stop.aborted) await new Promise((resolve) => stop.addEventListener('abort', resolve, { once: true }));
  return await sidecar.stop();
}
