import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { ConfigError, loadEnvFile } from '../../src/config/index.js';
import { CLI } from '../support/command.js';

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

  it('is not waited for when it is a named pipe; help is there all the same', () => {
    execFileSync('mkfifo', [join(folder, '.env')]);
    // A process of its own can be ended if it waits.
    const run = (arg: string) =>
      spawnSync(process.execPath, [CLI, arg], { cwd: folder, encoding: 'utf8', timeout: 20_000 });
    const { status, stdout, stderr } = run('list');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/\.env is a named pipe, a socket or a device and was not read; expected a text file/);
    expect(run('--help')).toMatchObject({ status: 0, stderr: '' });
  });

  it('may be hidden by /dev/null', () => {
    const env: NodeJS.ProcessEnv = {};
    const nothing = join(folder, 'nothing');
    symlinkSync(devNull, nothing);
    expect(loadEnvFile(nothing, env)).toBeUndefined();
    expect(env).toEqual({});
  });

  it('is a problem of the configuration when it is no text', () => {
    expect(() => loadEnvFile(fileWith(Buffer.from([0x41, 0x3d, 0xff])), {})).toThrow(ConfigError);
  });
});
