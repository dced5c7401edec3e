/** What one check of the doctor found. */
export interface Finding {
  /** What was looked at, in a word or two. */
  readonly subject: string;
  /** `warn`: it works, but not as it should; `fail`: it does not. */
  readonly state: 'ok' | 'warn' | 'fail';
  /** What was found, and what to do about it. */
  readonly text: string;
}

export const ok = (subject: string, text: string): Finding => ({ subject, state: 'ok', text });
export const warn = (subject: string, text: string): Finding => ({ subject, state: 'warn', text });
export const fail = (subject: string, text: string): Finding => ({ subject, state: 'fail', text });
