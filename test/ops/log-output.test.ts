import { openSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Secret } from '../../src/lib/secret.js';
import { logOutput } from '../../src/ops/log-output.js';
import { createLogger } from '../../src/ops/logger.js';
import { eventually } from '../support/eventually.js';

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A connection whose reader does nothing yet. */
async function connection(): Promise<{ writer: Socket; reader: Socket }> {
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const writer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const reader = await accepted;
  ends.push(() => {
    writer.destroy();
    reader.destroy();
    server.close();
  });
  return { writer, reader };
}

const output = (socket: Socket) => logOutput(Object.assign(socket, { fd: -1 }));
const line = (n: number) => `${JSON.stringify({ n, text: 'x'.repeat(1_000) })}\n`;

describe('where log lines go', () => {
  it('holds a bounded number of bytes for a reader that has stalled, and says later how many lines are missing', async () => {
    const { writer, reader } = await connection();
    const log = output(writer);
    const count = 20_000;
    for (let n = 0; n < count; n += 1) {
      log.write(line(n));
      if (n % 1_000 === 0) await new Promise(setImmediate);
    }
    expect(writer.writableLength).toBeLessThan(1_100_000);

    let text = '';
    reader.on('data', (data) => {
      text += data;
    });
    reader.resume();
    await eventually(() => writer.writableLength === 0);
    log.write(line(count));
    await eventually(() => text.endsWith(line(count)));
    const lines = text
      .trimEnd()
      .split('\n')
      .map((one) => JSON.parse(one));
    const [dropped, last] = lines.slice(-2);
    expect(dropped).toMatchObject({ level: 'warn', msg: 'log lines dropped' });
    expect(last).toMatchObject({ n: count });
    expect(lines.length - 2 + dropped.lines).toBe(count);
  });

  it('takes lines and throws nothing when its reader is gone', async () => {
    const { writer, reader } = await connection();
    const log = output(writer);
    reader.destroy();
    for (let n = 0; n < 100; n += 1) {
      log.write(line(n));
      await new Promise(setImmediate);
    }
    expect(writer.writableLength).toBeLessThan(200_000);
  });

  it('takes lines and throws nothing when the disk is full', () => {
    const log = logOutput(fullDisk());
    for (let n = 0; n < 100; n += 1) log.write(line(n));
  });
});

/** Standard output as Node has it for a file on a disk that is full. */
function fullDisk(): Parameters<typeof logOutput>[0] {
  return { fd: openSync('/dev/full', 'a'), on: () => {} } as unknown as Parameters<typeof logOutput>[0];
}

describe('an error in the log', () => {
  it('has its cause, and neither secrets nor what a library put into it', () => {
    const lines: string[] = [];
    const logger = createLogger('info', { write: (text) => lines.push(text) });
    const secret = new Secret('redis://poller:s3cr%2Fet@127.0.0.1:1');
    const cause = Object.assign(new Error('Invalid URL'), { code: 'ERR_INVALID_URL', input: secret.reveal() });
    const err = new Error(`no login with s3cr/et at ${secret.reveal()} or http://me:other@proxy:1`, { cause });
    logger.error({ err }, 'uncaught error');
    expect(lines.join()).not.toMatch(/s3cr|other|poller/);
    expect(JSON.parse(lines[0] ?? '').err).toMatchObject({
      message: 'no login with [secret] at [secret] or http://[secret]@proxy:1',
      cause: { code: 'ERR_INVALID_URL', message: 'Invalid URL' },
    });
  });
});
