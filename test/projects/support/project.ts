import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, expect } from '@jest/globals';

/** What a program printed and how it ended. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  /** Standard output and standard error, in this order. */
  readonly output: string;
}

const OWN = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));

/** The version of one of this package's dependencies. */
export const ownVersion = (name: string): string => OWN.dependencies[name] ?? OWN.devDependencies[name];

/** The packed package, as a dependency. */
export const PACKED = `file:${process.env.PACKED_TARBALL}`;

const NETWORK = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => /^(NODE_EXTRA_CA_CERTS|(https?|no)_proxy)$/i.test(name)),
);

/** A project of a user: a folder of its own, with nothing of this repository but the packed package. */
export class Project {
  readonly folder = mkdtempSync(join(tmpdir(), 'cfw-job-poller-project-'));

  constructor(dependencies: Readonly<Record<string, string>>) {
    this.write('package.json', JSON.stringify({ name: 'a-project', private: true, license: 'MIT', dependencies }));
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), text);
  }

  /**
   * Runs a program in the folder. Of our environment it gets the path, without this repository's programs, and how to reach the
   * registry.
   */
  async run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
    const [program = '', ...args] = command;
    const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'));
    const options = {
      cwd: this.folder,
      env: { ...NETWORK, PATH: path.join(delimiter), HOME: process.env.HOME ?? '', ...env },
      timeout: 150_000,
      maxBuffer: 1e8,
    };
    return await new Promise((resolve) => {
      execFile(program, args, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, output: stdout + stderr });
      });
    });
  }

  /** Runs a program that must succeed. */
  async succeed(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
    const ran = await this.run(command, env);
    expect({ command, ...ran, code: ran.code, output: ran.code === 0 ? '' : ran.output }).toMatchObject({
      code: 0,
      output: '',
    });
    return ran;
  }

  /** Installs the dependencies by npm. */
  async install(...options: string[]): Promise<Ran> {
    return await this.succeed(['npm', 'install', '--no-audit', '--no-fund', ...options]);
  }
}

/** Makes projects, and removes their folders after all tests of a file. */
export function useProjects(): (dependencies: Readonly<Record<string, string>>) => Project {
  const projects: Project[] = [];
  afterAll(() => {
    for (const { folder } of projects) rmSync(folder, { recursive: true, force: true });
  });
  return (dependencies) => {
    const project = new Project(dependencies);
    projects.push(project);
    return project;
  };
}
