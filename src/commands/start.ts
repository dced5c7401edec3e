import type { Config } from '../config/index.js';
import { createLogger, takeConsole } from '../ops/logger.js';
import { logSecretFiles } from '../ops/secret-log.js';
import { type SidecarOptions, startSidecar } from '../sidecar.js';
import { logToOutput } from './process.js';

/**
 * Runs the sidecar until SIGTERM or SIGINT; a second signal ends the process at once.
 *
 * @throws {UnfitRedisError}
 * @returns false when it could not stop in order, since Redis was away.
 */
export async function start(config: Config, options: SidecarOptions, stop: AbortSignal): Promise<boolean> {
  const logger = createLogger(config.logLevel);
  logToOutput((err) => logger.fatal({ err }, 'uncaught error'));
  takeConsole(logger);
  logSecretFiles(config.secretFiles, logger);
  const sidecar = await startSidecar(config, logger, options);
  const stopped = new Promise<undefined>((resolve) => {
    if (stop.aborted) resolve(undefined);
    else stop.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const unfit = await Promise.race([stopped, sidecar.unfit]);
  const inOrder = await sidecar.stop();
  if (unfit !== undefined) throw unfit;
  return inOrder;
}
