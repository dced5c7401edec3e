import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A question to a process of a bench, and its answer. */
interface Message {
  readonly id: number;
  readonly name: string;
  readonly argument?: unknown;
}

/** What a process is asked, by name. */
export type Questions = Record<string, (argument: never) => unknown>;

/** Answers the questions that come from the process that started this one; ends with it. */
export function answer(questions: Questions): void {
  process.on('message', async ({ id, name, argument }: Message) => {
    const result = await questions[name]?.(argument as never);
    process.send?.({ id, result });
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ id: 0, result: null });
}

/** A process of a bench, so that its processor time and memory are its own. */
export class Child {
  readonly process: ChildProcess;
  #lastId = 0;
  readonly #open = new Map<number, (result: unknown) => void>();

  private constructor(process: ChildProcess) {
    this.process = process;
    process.on('message', ({ id, result }: { id: number; result: unknown }) => {
      this.#open.get(id)?.(result);
      this.#open.delete(id);
    });
  }

  /** @param module beside this one, without its ending; it calls {@link answer}. */
  static async start(module: string, env: Record<string, string> = {}): Promise<Child> {
    const path = fileURLToPath(new URL(`./${module}.js`, import.meta.url));
    const child = new Child(fork(path, [], { env: { PATH: process.env.PATH ?? '', ...env } }));
    await new Promise((resolve, reject) => {
      child.#open.set(0, resolve);
      child.process.once('exit', (code) => reject(new Error(`${module} ended with code ${code}`)));
    });
    return child;
  }

  ask<T>(name: string, argument?: unknown): Promise<T> {
    this.#lastId += 1;
    const id = this.#lastId;
    this.process.send({ id, name, argument });
    return new Promise((resolve) => this.#open.set(id, resolve as (result: unknown) => void));
  }

  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exit = once(this.process, 'exit');
    this.process.kill(signal);
    await exit;
  }
}
