/** Replies by which Redis refuses to write although it answers: no memory, no disk, no right, not the master. */
const REFUSALS = /^(OOM|MISCONF|NOPERM|READONLY|NOREPLICAS)\b/;

/** Writes count as accepted again when none was refused for this long: some may be allowed and others not. Milliseconds. */
const CALM_MS = 3_000;

/** Notices when Redis refuses writes, and when it accepts them again, so that it is reported once rather than for each job. */
export class WriteRefusal {
  readonly #onChange: (error: Error | undefined) => void;
  #since: number | undefined;
  #lastAt = 0;
  #error: Error | undefined;

  /** @param onChange gets the reply when refusals begin, and undefined when they end. */
  constructor(onChange: (error: Error | undefined) => void) {
    this.#onChange = onChange;
  }

  /** Since when, by `performance.now()`, and why writes are refused; undefined if they are not. */
  get state(): { readonly since: number; readonly message: string } | undefined {
    return this.#since === undefined ? undefined : { since: this.#since, message: this.#error?.message ?? '' };
  }

  /** @returns whether the error is a refusal of writes. */
  failed(error: unknown): boolean {
    const reply = refusalIn(error);
    if (reply === undefined) return false;
    this.#lastAt = performance.now();
    if (this.#since === undefined) {
      this.#since = performance.now();
      this.#error = reply;
      this.#onChange(reply);
    }
    return true;
  }

  /** A write has succeeded. */
  succeeded(): void {
    if (this.#since === undefined || performance.now() - this.#lastAt < CALM_MS) return;
    this.#since = undefined;
    this.#error = undefined;
    this.#onChange(undefined);
  }
}

/** A script's error names the reply behind its own text. */
function refusalIn(error: unknown): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  return REFUSALS.test(error.message) || /-?(OOM|MISCONF|NOPERM|READONLY) /.test(error.message) ? error : undefined;
}
