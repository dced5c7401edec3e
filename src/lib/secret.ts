import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { inspect } from 'node:util';

const WATCH_INTERVAL_MS = 2_000;

const trimmed = (text: string) => text.trim();

/**
 * A value that must not be seen: printing, logging or serializing it shows `[secret]`. Only `reveal()` gives it away, so
 * that a search for `reveal(` finds each place where a secret leaves its box.
 */
export class Secret {
  #value: string;
  readonly #file: string | undefined;
  readonly #pick: (text: string) => string;

  constructor(value: string, file?: string, pick = trimmed) {
    this.#value = value;
    this.#file = file;
    this.#pick = pick;
  }

  /**
   * Reads the secret from a file; white space around it is dropped, since editors and `echo` end files with a newline.
   *
   * @param pick takes the secret out of a file that holds more; it may throw, or give '' if there is none.
   */
  static fromFile(file: string, pick = trimmed): Secret {
    return new Secret(pick(readFileSync(file, 'utf8')), file, pick);
  }

  reveal(): string {
    return this.#value;
  }

  /**
   * Reads the file again, where there is one; a file that is away or empty just now (it is being rotated) changes nothing.
   *
   * @returns whether the secret is another one now.
   */
  refresh(): boolean {
    if (this.#file === undefined) return false;
    let value: string;
    try {
      value = this.#pick(readFileSync(this.#file, 'utf8'));
    } catch {
      return false;
    }
    if (value === '' || value === this.#value) return false;
    this.#value = value;
    return true;
  }

  /**
   * Looks at the file, where there is one, every 2 seconds and calls when it holds another secret. It asks for the file's
   * state instead of being notified: that also works where the file is a link that is swapped, as Kubernetes does it.
   *
   * @returns how to stop that.
   */
  watch(onChange: () => void): () => void {
    const file = this.#file;
    if (file === undefined) return () => {};
    let last = this.#value;
    const look = () => {
      this.refresh();
      // Somebody else may have refreshed it in the meantime.
      if (this.#value === last) return;
      last = this.#value;
      onChange();
    };
    watchFile(file, { interval: WATCH_INTERVAL_MS, persistent: false }, look);
    return () => unwatchFile(file, look);
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}
