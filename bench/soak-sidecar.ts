import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A sidecar that is stopped has to be gone within 8 s; this leaves room for a busy machine. */
const STOP_LIMIT_MS = 9_500;

/** A sidecar as a process of its own, whose log is read, or not. */
export class SoakSidecar {
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  /** The last lines of its log. */
  tail: string[] = [];
  #url: string | undefined;

  constructor(env: Record<string, string>) {
    this.#process = spawn(process.execPath, ['dist/cli.js', 'start'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#exited = once(this.#process, 'exit');
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.tail = [...this.tail, ...text.trimEnd().split('\n')].slice(-20);
        this.#url ??= /"url":"([^"]+)"/.exec(text)?.[1];
      });
    }
  }

  get isAlive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  get url(): string | undefined {
    return this.#url;
  }

  /** Its reader stops reading for a while. */
  async stallLog(forMs: number): Promise<void> {
    this.#process.stdout?.pause();
    await sleep(forMs);
    this.#process.stdout?.resume();
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    if (this.isAlive) await this.#exited;
  }

  /** @returns what was wrong with how it stopped. */
  async stop(): Promise<string | undefined> {
    const begunAt = Date.now();
    this.#process.kill('SIGTERM');
    if (!this.isAlive) return undefined;
    const isGone = await Promise.race([this.#exited.then(() => true), sleep(STOP_LIMIT_MS, false)]);
    if (isGone) return undefined;
    await this.kill();
    return `a sidecar was still there ${Date.now() - begunAt} ms after SIGTERM`;
  }

  /** Open files and resident memory, as Linux counts them. */
  usage(): { files: number; rssMb: number } {
    const folder = `/proc/${this.#process.pid}`;
    const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`${folder}/status`, 'utf8'))?.[1];
    return { files: readdirSync(`${folder}/fd`).length, rssMb: Number(rss) / 1_024 };
  }
}
