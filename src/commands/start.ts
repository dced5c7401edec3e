import { discover } from '../client.js';
import type { Config } from '../config/index.js';
import { createLogger, type Logger, takeConsole } from '../ops/logger.js';
import { logSecretFiles } from '../ops/secret-log.js';
import { type SidecarOptions, startSidecar } from '../sidecar.js';
import { logToOutput } from './process.js';

/**
 * Runs the sidecar until SIGTERM or SIGINT; a second signal ends the process at once.
 *
 * @throws {UnfitRedisError}
 * @throws {ConfigError} if the catalogue of IAM has no endpoint of CFW.
 * @throws {CredentialError} if IAM refuses the login that the catalogue is asked with.
 * @returns false when it could not stop in order, since Redis was away.
 */
export async function start(config: Config, options: SidecarOptions, stop: AbortSignal): Promise<boolean> {
  const logger = createLogger(config.logLevel);
  logToOutput((err) => logger.fatal({ err }, 'uncaught error'));
  takeConsole(logger);
  logSecretFiles(config.secretFiles, logger);
  const whole = await discovered(config, logger, stop);
  if (whole === undefined) return true;
  const sidecar = await startSidecar(whole, logger, options);
  const stopped = new Promise<undefined>((resolve) => {
    if (stop.aborted) resolve(undefined);
    else stop.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const unfit = await Promise.race([stopped, sidecar.unfit]);
  const inOrder = await sidecar.stop();
  if (unfit !== undefined) throw unfit;
  return inOrder;
}

/** The endpoint of CFW belongs to the events, so it has to be known first. @returns undefined if it is stopped before */
async function discovered(config: Config, logger: Logger, signal: AbortSignal): Promise<Config | undefined> {
  if (config.discovery === undefined) return config;
  try {
    const whole = await discover(config, {
      signal,
      onError: ({ code, httpStatus, message: error }) =>
        logger.error({ code, httpStatus, error }, 'catalogue of IAM not available'),
    });
    logger.info({ endpoint: whole.cfw.endpoint, projectId: whole.projectId }, 'endpoint found in catalogue');
    return whole;
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}
