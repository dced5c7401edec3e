/** What one check of the doctor found. */
export interface DoctorFinding {
  /** What was looked at, in a word or two. */
  readonly subject: string;
  /** `warn`: it works, but not as it should; `fail`: it does not. */
  readonly state: 'ok' | 'warn' | 'fail';
  /** What was found, and what to do about it. */
  readonly text: string;
}

/** Ends the look at a Redis that is silent: each further question would take as long. */
export function throwIfSilent(error: unknown): void {
  if ((error as Error).message === 'Command timed out') {
    throw new Error('Redis does not answer any more', { cause: error });
  }
}

export const ok = (subject: string, text: string): DoctorFinding => ({ subject, state: 'ok', text });
export const warn = (subject: string, text: string): DoctorFinding => ({ subject, state: 'warn', text });
export const fail = (subject: string, text: string): DoctorFinding => ({ subject, state: 'fail', text });
