import type { Secret } from '../lib/secret.js';
import type { Logger } from './logger.js';

/**
 * Warns once when the file of a secret turns bad, while the last good value stays in use, and says when it is good again.
 *
 * @param secretFiles the secrets by the variable that names their file.
 * @returns how to stop looking at the files.
 */
export function logSecretFiles(secretFiles: Readonly<Record<string, Secret>>, logger: Logger): () => void {
  const stops = Object.entries(secretFiles).map(([variable, secret]) => {
    secret.onFileState((problem) => {
      if (problem === undefined) logger.info({ variable }, 'secret file accepted again');
      else logger.warn({ variable, problem }, 'secret file rejected; last good value kept');
    });
    return secret.watch(() => logger.info({ variable }, 'secret file read again'));
  });
  return () => {
    for (const stop of stops) stop();
  };
}
