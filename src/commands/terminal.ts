import { once } from 'node:events';
import { styleText } from 'node:util';

/** Where a command prints; colours and redrawing are for terminals only. */
export interface Terminal {
  readonly isTerminal: boolean;
  /** Rows of the screen; 0 if there is none. */
  readonly rows: number;
  readonly columns: number;
  print(text: string): void;
  /** Resolves when the reader has room again, or the signal is aborted: what a slow reader has not taken yet is memory. */
  room(signal: AbortSignal): Promise<void>;
  style(style: Style, text: string): string;
}

export type Style = 'green' | 'red' | 'yellow' | 'cyan' | 'dim' | 'bold';

/** Standard output. Colours if it is a terminal and `NO_COLOR` (https://no-color.org) is not set. */
export function standardOutput(): Terminal {
  const { stdout } = process;
  const isTerminal = stdout.isTTY === true;
  const coloured = isTerminal && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  return {
    isTerminal,
    rows: stdout.rows ?? 0,
    columns: stdout.columns ?? 80,
    print: (text) => {
      stdout.write(`${text}\n`);
    },
    room: async (signal) => {
      if (!stdout.writableNeedDrain || signal.aborted) return;
      // A reader that is gone is dealt with elsewhere.
      await once(stdout, 'drain', { signal }).catch(() => {});
    },
    style: (style, text) => (coloured ? styleText(style, text) : text),
  };
}
