import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cfw-job-poller-examples-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a service uses, and where its example is. */
const DOCUMENTED = {
  CfwJobProducer: 'src/queue/producer.ts',
  CfwJobEventSubscriber: 'src/consumers/subscriber.ts',
  CfwJobWaiter: 'src/consumers/waiter.ts',
  consumeEvents: 'src/consumers/iterator.ts',
  readEvents: 'src/events/reader.ts',
} as const;

/** The code of the doc comment right before a declaration. */
function exampleOf(name: string, file: string): string {
  const source = readFileSync(join(root, file), 'utf8');
  const declared = source.search(new RegExp(`^export (async )?(class|function\\*?) ${name}\\b`, 'm'));
  const comment = source.slice(source.lastIndexOf('/**', declared), declared);
  const code = /@example\n \* ```ts\n([\s\S]*?) \* ```/.exec(comment)?.[1];
  if (code === undefined) throw new Error(`${name} in ${file} has no @example`);
  return code.replace(/^ \* ?/gm, '');
}

describe('the examples of the documentation', () => {
  it('compile as they are', () => {
    const modules = join(folder, 'node_modules');
    mkdirSync(modules);
    for (const name of ['ioredis', '@types']) symlinkSync(join(root, 'node_modules', name), join(modules, name));
    symlinkSync(root, join(modules, 'cfw-job-poller'));
    for (const [name, file] of Object.entries(DOCUMENTED)) {
      writeFileSync(join(folder, `${name}.mts`), exampleOf(name, file));
    }
    const compilerOptions = {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      module: 'nodenext',
      target: 'es2023',
      types: ['node'],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.mts'] }));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    let output = '';
    try {
      execFileSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
    } catch (error) {
      output = (error as { stdout: string }).stdout;
    }
    expect(output).toBe('');
  });
});
