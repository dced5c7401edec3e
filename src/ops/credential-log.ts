import type { CredentialState } from '../cfw/index.js';
import type { CredentialsConfig } from '../config/index.js';
import type { Logger } from './logger.js';

/** Logs when keys or tokens are issued, or not, rejected, and accepted again. */
export function logCredentials({ kind }: Pick<CredentialsConfig, 'kind'>, logger: Logger) {
  let isFirst = true;
  let isMissing = false;
  return {
    onIssued({ expiresAt, isRenewal }: { expiresAt: Date; isRenewal: boolean }): void {
      if (isMissing) logger.info({ kind }, 'credentials issued again');
      isMissing = false;
      // Renewals, and tokens of further projects, are details.
      const level = isFirst ? 'info' : 'debug';
      isFirst = false;
      logger[level]({ kind, expiresAt }, isRenewal ? 'credentials renewed' : 'credentials issued');
    },
    onNotIssued({
      code,
      httpStatus,
      message: error,
    }: {
      code: string;
      httpStatus: number | null;
      message: string;
    }): void {
      if (!isMissing)
        logger.warn({ kind, code, httpStatus, error }, 'credentials not issued; their source is asked again');
      isMissing = true;
    },
    onCredentialState(state: CredentialState): void {
      if (state.state === 'accepted') logger.info('credentials accepted again');
      if (state.state !== 'refused') return;
      const { code, httpStatus, message: error } = state.refusal;
      logger.error({ kind, code, httpStatus, error }, 'credentials rejected; jobs wait');
    },
  };
}
