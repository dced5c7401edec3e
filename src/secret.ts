import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';

/**
 * A value that must not be seen: printing, logging or serializing it shows `[secret]`. Only `reveal()` gives it away, so
 * that a search for `reveal(` finds each place where a secret leaves its box.
 */
export class Secret {
  #value: string;
  readonly #file: string | undefined;

  constructor(value: string, file?: string) {
    this.#value = value;
    this.#file = file;
  }

  /** Reads the secret from a file; white space around it is dropped, since editors and `echo` end files with a newline. */
  static fromFile(file: string): Secret {
    return new Secret(readFileSync(file, 'utf8').trim(), file);
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
      value = readFileSync(this.#file, 'utf8').trim();
    } catch {
      return false;
    }
    if (value === '' || value === this.#value) return false;
    this.#value = value;
    return true;
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
