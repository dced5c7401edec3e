import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.js';

export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** The built command as a process of its own, with nothing of our environment but the path. */
export class Command {
  readonly process: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}, input = '') {
    this.process = spawn(process.execPath, [CLI, ...args], {
      // Not in the project's folder, whose .env would be read.
      cwd: tmpdir(),
      env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.process.stdout?.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
    });
    this.process.stderr?.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    this.process.stdin?.on('error', () => {});
    this.process.stdin?.end(input);
    this.exited = new Promise((resolve) => this.process.once('close', (code, signal) => resolve({ code, signal })));
  }

  /** The log lines so far. */
  get log(): Record<string, unknown>[] {
    return this.stdout
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line));
  }

  async logged(msg: string): Promise<Record<string, unknown>> {
    return await eventually(() => this.log.find((line) => line.msg === msg), { what: `the log line "${msg}"` });
  }

  async kill(signal: NodeJS.Signals): Promise<{ code: number | null; signal: string | null }> {
    this.process.kill(signal);
    return await this.exited;
  }
}

/** Runs a command to its end. */
export async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}, input = '') {
  const command = new Command(args, env, input);
  const { code } = await command.exited;
  return { code, stdout: command.stdout, stderr: command.stderr };
}
