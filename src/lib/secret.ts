import { closeSync, openSync, readSync, statSync, unwatchFile, watchFile } from 'node:fs';
import { inspect } from 'node:util';

const WATCH_INTERVAL_MS = 2_000;
/** Headers of more than 64 KiB are not sent, so no secret is longer. */
const MAX_FILE_BYTES = 65_536;

/** What is wrong with a text, without the text itself; undefined when it is good. */
export type SecretCheck = (text: string) => string | undefined;

/** The file of a secret cannot be used; the message says why and never holds what the file holds. */
export class SecretFileError extends Error {
  override readonly name = 'SecretFileError';
}

/** Takes a secret out of a text that holds more; it may throw, or give '' if there is none. */
export type SecretPick = (text: string) => string;

export interface SecretFileOptions {
  /** What each later text must pass to replace this one. @default every text passes */
  readonly check?: SecretCheck;
  /** @default the whole text */
  readonly pick?: SecretPick;
}

const whole: SecretPick = (text) => text;

/**
 * A value that must not be seen: printing, logging or serializing it shows `[secret]`. Only `reveal()` gives it away, so
 * that a search for `reveal(` finds each place where a secret leaves its box.
 */
export class Secret {
  #value: string;
  readonly #file: string | undefined;
  readonly #check: SecretCheck;
  readonly #pick: SecretPick;
  #problem: string | undefined;
  #onFileState: (problem: string | undefined) => void = () => {};

  constructor(value: string, file?: string, { check = () => undefined, pick = whole }: SecretFileOptions = {}) {
    this.#value = value;
    this.#file = file;
    this.#check = check;
    this.#pick = pick;
    remember(value);
  }

  /**
   * Reads the secret from a file; white space around it is dropped, since editors and `echo` end files with a newline.
   *
   * @throws {SecretFileError}
   */
  static fromFile(file: string, options: SecretFileOptions = {}): Secret {
    return new Secret(readSecret(file, options.pick), file, options);
  }

  reveal(): string {
    return this.#value;
  }

  /**
   * Reads the file again, if there is one. A file that is absent, unreadable or holds a text that is no good (it may be
   * half written) changes nothing: the last good value stays.
   *
   * @returns whether the secret is another one now.
   */
  refresh(): boolean {
    // A pipe (`<(…)` of a shell) can be read only once; reading it again would block the process.
    if (this.#file === undefined || isPipe(this.#file)) return false;
    let value: string;
    try {
      value = readSecret(this.#file, this.#pick);
    } catch (error) {
      this.#setProblem(error instanceof SecretFileError ? error.message : 'cannot be read');
      return false;
    }
    const problem = value === this.#value ? undefined : this.#check(value);
    this.#setProblem(problem);
    if (problem !== undefined || value === this.#value) return false;
    this.#value = value;
    remember(value);
    return true;
  }

  /** Calls once when the file turns bad, with what is wrong with it, and once with undefined when it is good again. */
  onFileState(listener: (problem: string | undefined) => void): void {
    this.#onFileState = listener;
  }

  /**
   * Looks at the file, if there is one, every 2 seconds and calls when it holds another secret. It asks for the file's
   * state instead of being notified: that also works if the file is a link that is swapped, as Kubernetes does it.
   *
   * @returns how to stop that.
   */
  watch(onChange: () => void): () => void {
    const file = this.#file;
    if (file === undefined) return () => {};
    let last = this.#value;
    const look = () => {
      this.refresh();
      // Another caller may have refreshed it in the meantime.
      if (this.#value === last) return;
      last = this.#value;
      onChange();
    };
    watchFile(file, { interval: WATCH_INTERVAL_MS, persistent: false }, look);
    // watchFile reports no change that came between the reading of the file and its own first look.
    const first = setTimeout(look, WATCH_INTERVAL_MS).unref();
    return () => {
      clearTimeout(first);
      unwatchFile(file, look);
    };
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

  #setProblem(problem: string | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#onFileState(problem);
  }
}

/** Values of this process's secrets, newest last; the ones before count too, since a late error may repeat them. */
const remembered: string[] = [];
const MAX_REMEMBERED = 64;
/** Shorter texts would be found in words that are no secret. */
const MIN_CONCEALED = 6;

function remember(value: string): void {
  const password = URL.canParse(value) ? new URL(value).password : '';
  for (const text of [value, password, decoded(password)]) {
    if (text.length >= MIN_CONCEALED && !remembered.includes(text)) remembered.push(text);
  }
  remembered.splice(0, remembered.length - MAX_REMEMBERED);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A text of foreign origin, such as the message of a library's error, without our secrets and without users in URLs. */
export function concealSecrets(text: string): string {
  return (
    remembered
      .reduce((clean, secret) => clean.replaceAll(secret, '[secret]'), text)
      // What our own texts show as the form of a URL is none.
      .replace(/\b([a-z][a-z0-9+.-]*:\/\/)(?!\[user:password@\]host)[^\s"'<>]*@/gi, '$1[secret]@')
  );
}

function isPipe(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFIFO() === true;
}

function readSecret(file: string, pick: SecretPick = whole): string {
  let bytes: Buffer;
  try {
    bytes = readAtMost(file, MAX_FILE_BYTES + 1);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // No cause: what fails here is described by its code, and the error of a decoder may hold the text.
    throw new SecretFileError(code === 'EISDIR' ? 'is a directory' : `cannot be read (${code})`);
  }
  if (bytes.length > MAX_FILE_BYTES) throw new SecretFileError(`is larger than ${MAX_FILE_BYTES} bytes`);
  let text: string;
  try {
    // It drops a byte order mark, too.
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch {
    throw new SecretFileError('is not UTF-8 text');
  }
  text = pick(text).trim();
  if (text === '') throw new SecretFileError('is empty');
  if (/[\r\n]/.test(text)) throw new SecretFileError('has more than one line');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\x00-\x1f\x7f]/.test(text)) throw new SecretFileError('has control characters');
  return text;
}

/** Bounded, since the path may name a device that never ends. */
function readAtMost(file: string, limit: number): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(limit);
    let length = 0;
    for (let read = -1; read !== 0 && length < limit; length += read) {
      read = readSync(descriptor, bytes, length, limit - length, null);
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}
