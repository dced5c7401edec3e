import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { ConfigError, loadEnvFile } from '../../src/config/index.js';

const folder = mkdtempSync(join(tmpdir(), 'env-file-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function fileWith(content: string | Buffer): string {
  files += 1;
  const file = join(folder, `${files}.env`);
  writeFileSync(file, content);
  return file;
}

describe('the file of environment variables', () => {
  it.each<[string, string | Buffer]>([
    ['as it is mostly', 'ONE=1\nTWO=a b\n'],
    ['with a byte order mark', '\ufeffONE=1\nTWO=a b\n'],
    ['with the line ends of Windows', '\ufeffONE=1\r\nTWO=a b\r\n'],
    ['in UTF-16, as PowerShell writes it', Buffer.from('\ufeffONE=1\r\nTWO=a b\r\n', 'utf16le')],
    ['with export and quotes', 'export ONE="1"\n# three\nexport TWO=\'a b\' # two\n'],
  ])('is read %s', (_how, content) => {
    const env: NodeJS.ProcessEnv = {};
    expect(loadEnvFile(fileWith(content), env)).toBeUndefined();
    expect(env).toEqual({ ONE: '1', TWO: 'a b' });
  });

  it('does not replace what is set, be it to nothing', () => {
    const env: NodeJS.ProcessEnv = { ONE: 'set', TWO: '' };
    loadEnvFile(fileWith('ONE=1\nTWO=2\nTHREE=3'), env);
    expect(env).toEqual({ ONE: 'set', TWO: '', THREE: '3' });
  });

  it('may be absent, and is passed over with a note when it is a folder', () => {
    const env: NodeJS.ProcessEnv = {};
    expect(loadEnvFile(join(folder, 'absent'), env)).toBeUndefined();
    const place = join(folder, 'folder');
    mkdirSync(place);
    expect(loadEnvFile(place, env)).toBe(`${place} is a folder and was not read`);
    expect(env).toEqual({});
  });

  it('is a problem of the configuration when it is no text', () => {
    expect(() => loadEnvFile(fileWith(Buffer.from([0x41, 0x3d, 0xff])), {})).toThrow(ConfigError);
  });
});
