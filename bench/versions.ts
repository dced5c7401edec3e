import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A build whose command is started as a process. */
export interface Version {
  readonly name: string;
  /** Path of its `cli.js`. */
  readonly cli: string;
}

const ROOT = process.cwd();

/** This tree, and before it the base if one is named: both are built, and measured in turn in the same run. */
export function versions(base: string | undefined): Version[] {
  const own = { name: 'this tree', cli: join(ROOT, 'dist/cli.js') };
  return base === undefined ? [own] : [build(base), own];
}

/** Builds a revision in a temporary folder, which is removed when this process ends. */
function build(revision: string): Version {
  const commit = run('git', ['rev-parse', '--verify', '--short', `${revision}^{commit}`]).trim();
  const folder = mkdtempSync(join(tmpdir(), `cfw-job-poller-${commit}-`));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  run('sh', ['-c', `git archive ${commit} | tar -x -C "$0"`, folder]);
  const lock = (path: string) => readFileSync(join(path, 'package-lock.json'), 'utf8');
  // Installing takes half a minute, and is needed only if the dependencies differ.
  if (lock(folder) === lock(ROOT)) symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  else run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], folder);
  run('npm', ['run', '--silent', 'build'], folder);
  return { name: commit, cli: join(folder, 'dist/cli.js') };
}

/** @returns what a program has printed. */
export function run(program: string, args: readonly string[], cwd = ROOT): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (status !== 0) {
    throw new Error(`${program} ${args.join(' ')} failed: ${stderr || stdout || error?.message}`, { cause: error });
  }
  return stdout;
}
