import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { format, inspect } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import { Secret } from '../../src/lib/secret.js';
import { eventually } from '../support/eventually.js';

const VALUE = 'hunter2-hunter2';
const folder = mkdtempSync(join(tmpdir(), 'secret-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function fileWith(text: string): string {
  files += 1;
  const file = join(folder, `secret-${files}`);
  writeFileSync(file, text);
  return file;
}

describe('a secret', () => {
  it('is given away by reveal() only', () => {
    expect(new Secret(VALUE).reveal()).toBe(VALUE);
  });

  const secret = new Secret(VALUE);
  it.each<[string, () => string]>([
    ['String()', () => String(secret)],
    ['a template', () => `${secret}`],
    ['concatenation', () => `token: ${''.concat(secret as unknown as string)}`],
    ['JSON', () => JSON.stringify(secret)],
    ['JSON around it', () => JSON.stringify({ config: { token: secret } })],
    ['inspect', () => inspect(secret)],
    ['inspect around it', () => inspect({ config: [secret] }, { depth: null })],
    ['inspect that shows all', () => inspect(secret, { showHidden: true, getters: true })],
    ['console formats', () => format('%s %o %O %j', secret, secret, secret, secret)],
    ['console without a format', () => format(secret, { token: secret })],
    ['the message of an error', () => inspect(new Error(`bad token ${secret}`, { cause: secret }))],
  ])('shows [secret] in %s', (_where, show) => {
    expect(show()).toContain('[secret]');
    expect(show()).not.toContain(VALUE);
  });

  it.each<[string, () => string]>([
    ['inspect that skips custom rules', () => inspect(secret, { customInspect: false, showHidden: true })],
    ['a copy', () => inspect({ ...secret }, { showHidden: true })],
    ['a structured clone', () => inspect(structuredClone(secret), { showHidden: true })],
    ['its properties', () => inspect(Object.getOwnPropertyDescriptors(secret))],
  ])('does not show in %s', (_where, show) => {
    expect(show()).not.toContain(VALUE);
  });
});

/** Puts something else in a file's place. */
function instead(file: string, make: (path: string) => unknown): void {
  rmSync(file);
  make(file);
}

describe('a secret from a file', () => {
  it('loses the white space around it', () => {
    expect(Secret.fromFile(fileWith(` \t${VALUE}\r\n`)).reveal()).toBe(VALUE);
  });

  it('cannot be read where there is no file', () => {
    expect(() => Secret.fromFile(join(folder, 'absent'))).toThrow('ENOENT');
  });

  it('is read again by refresh(), which tells whether it has changed', () => {
    const file = fileWith('first\n');
    const secret = Secret.fromFile(file);
    expect(secret.refresh()).toBe(false);
    writeFileSync(file, 'second\n');
    expect(secret.refresh()).toBe(true);
    expect(secret.reveal()).toBe('second');
    expect(secret.refresh()).toBe(false);
  });

  it.each<[string, (file: string) => void, string]>([
    ['absent', (file) => rmSync(file), 'cannot be read (ENOENT)'],
    ['empty', (file) => writeFileSync(file, ' \n'), 'is empty'],
    ['a directory', (file) => instead(file, mkdirSync), 'is a directory'],
    [
      'a link that leads nowhere',
      (file) => instead(file, (path) => symlinkSync(`${path}-absent`, path)),
      'cannot be read (ENOENT)',
    ],
    ['binary', (file) => writeFileSync(file, Buffer.from([0xff, 0xfe, 0x41, 0x00])), 'is not UTF-8 text'],
    ['text with a zero byte', (file) => writeFileSync(file, 'new\0value'), 'has control characters'],
    ['of several lines', (file) => writeFileSync(file, 'new\nvalue\n'), 'has more than one line'],
    ['too large', (file) => writeFileSync(file, 'new'.repeat(30_000)), 'is larger than 65536 bytes'],
    [
      'a device without an end',
      (file) => instead(file, (path) => symlinkSync('/dev/zero', path)),
      'is larger than 65536 bytes',
    ],
    ['no good by its own rule', (file) => writeFileSync(file, 'new-but-bad'), 'must not be bad'],
  ])('stays as it was while the file is %s, which is reported once', (_what, spoil, problem) => {
    const file = fileWith('first\n');
    const secret = Secret.fromFile(file, {
      check: (text) => (text.includes('bad') ? 'must not be bad' : undefined),
    });
    const states: (string | undefined)[] = [];
    secret.onFileState((state) => states.push(state));
    spoil(file);
    expect([secret.refresh(), secret.refresh(), secret.reveal()]).toEqual([false, false, 'first']);
    expect(states).toEqual([problem]);
    rmSync(file, { recursive: true, force: true });
    writeFileSync(file, '\ufeffsecond\r\n');
    expect([secret.refresh(), secret.refresh(), secret.reveal()]).toEqual([true, false, 'second']);
    expect(states).toEqual([problem, undefined]);
  });

  it('is noticed to be another one also if its file was exchanged just before it is watched', async () => {
    const file = fileWith('first\n');
    const secret = Secret.fromFile(file);
    writeFileSync(file, 'second\n');
    let changes = 0;
    const stop = secret.watch(() => {
      changes += 1;
    });
    try {
      await eventually(() => changes === 1, { timeoutMs: 20_000, what: 'the change' });
      expect(secret.reveal()).toBe('second');
    } finally {
      stop();
    }
  });

  it('is not read again from a pipe, which would block', () => {
    const file = join(folder, 'pipe');
    execFileSync('mkfifo', [file]);
    const secret = new Secret(VALUE, file);
    expect(secret.refresh()).toBe(false);
    expect(secret.reveal()).toBe(VALUE);
  });

  it('has nothing to read again where it came as a value', () => {
    const secret = new Secret(VALUE);
    expect(secret.refresh()).toBe(false);
    expect(secret.reveal()).toBe(VALUE);
  });
});
