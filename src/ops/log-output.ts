import { writeSync } from 'node:fs';
import { Socket } from 'node:net';

/** Lines that wait for a slow reader take at most this many bytes; further ones are dropped. */
const MAX_WAITING_BYTES = 1_048_576;

/** Where log lines go. Writing never throws and never blocks on a pipe. */
export interface LogOutput {
  write(line: string): void;
}

/**
 * Writes log lines to a stream of this process, usually standard output. Lines that cannot be written (the disk is full, the
 * reader is gone or too slow) are dropped and counted; the next line that can be written is preceded by one that says how
 * many were: a service goes on without its log rather than stop, and holds no more than 1 MiB for a reader.
 *
 * @param format makes of a line what is written, for people at a terminal, say.
 */
export function logOutput(
  stream: NodeJS.WritableStream & { readonly fd: number },
  format: (line: string) => string = (line) => line,
): LogOutput {
  let dropped = 0;
  const drop = (lines: number) => {
    dropped += lines;
  };
  // What fails is counted by the callback of each write.
  stream.on('error', () => {});
  // Node writes to files synchronously and throws; on pipes and terminals it waits without blocking.
  const write = stream instanceof Socket ? toSocket(stream, drop) : toFile(stream.fd, drop);
  return {
    write(line) {
      if (dropped === 0) {
        write(format(line), 1);
        return;
      }
      const lines = dropped;
      dropped = 0;
      if (write(format(droppedLine(lines)), lines)) write(format(line), 1);
      else drop(1);
    },
  };
}

/** Writes a text that stands for a number of log lines. Returns false when it was dropped, as far as that is known at once. */
type Write = (text: string, lines: number) => boolean;

function toSocket(socket: Socket, drop: (lines: number) => void): Write {
  return (text, lines) => {
    if (socket.writableLength > MAX_WAITING_BYTES) {
      drop(lines);
      return false;
    }
    socket.write(text, (error) => {
      if (error) drop(lines);
    });
    return true;
  };
}

function toFile(descriptor: number, drop: (lines: number) => void): Write {
  /** The last line was cut in the middle, as happens when a disk becomes full. */
  let isTorn = false;
  return (text, lines) => {
    const bytes = Buffer.from(isTorn ? `\n${text}` : text);
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(descriptor, bytes, written);
      isTorn = false;
      return true;
    } catch {
      isTorn ||= written > 0;
      drop(lines);
      return false;
    }
  };
}

const droppedLine = (lines: number) =>
  `${JSON.stringify({ level: 'warn', time: new Date().toISOString(), lines, msg: 'log lines dropped' })}\n`;
