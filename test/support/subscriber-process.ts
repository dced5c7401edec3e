import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./subscriber-program.mjs', import.meta.url));

/** A subscriber in a process of its own, which can be killed; `handled` has the ids of the jobs that it handled. */
export class SubscriberProcess {
  readonly process: ChildProcess;
  readonly handled: string[] = [];
  readonly exited: Promise<unknown>;

  constructor(options: { url: string; group: string; consumer: string; claimIdleMs: number; handlerMs?: number }) {
    this.process = spawn(process.execPath, [PROGRAM, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let rest = '';
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      this.handled.push(...lines);
    });
    this.exited = new Promise((resolve) => this.process.once('close', resolve));
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    this.process.kill(signal);
    await this.exited;
  }
}
