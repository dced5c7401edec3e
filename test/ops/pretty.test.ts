import { describe, expect, it } from '@jest/globals';
import { createLogger } from '../../src/ops/logger.js';
import { prettyLine } from '../../src/ops/pretty.js';

/** What a terminal shows of one log line. */
function pretty(fields: object, msg: string, colour = false): string {
  let shown = '';
  createLogger('info', { write: (line) => (shown += prettyLine(line, colour)) }).warn(fields, msg);
  return shown.replace(/^(\S*)\d\d:\d\d:\d\d\.\d{3}/, '$1TIME');
}

describe('log lines on a terminal', () => {
  it('have the time, the level, the message and a line for each field', () => {
    expect(pretty({ jobId: 'j', polls: 7, events: ['a'], nothing: null }, 'event published')).toBe(
      'TIME WARN event published\n  jobId: j\n  polls: 7\n  events: ["a"]\n  nothing: null\n',
    );
  });

  it('have the stack of an error, and its code', () => {
    const shown = pretty(
      { err: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }) },
      'redis connection lost',
    );
    expect(shown).toMatch(
      /^TIME WARN redis connection lost\n {2}Error: refused\n {6}at .*\n {2}\{"code":"ECONNREFUSED"\}\n$/s,
    );
    expect(pretty({ err: 'text' }, 'failed')).toBe('TIME WARN failed\n  err: text\n');
  });

  it('are coloured if asked for, and bring nothing along that a terminal would act on', () => {
    expect(pretty({}, 'm', true)).toContain('\u001b[33mWARN\u001b[39m m');
    expect(pretty({ message: '\u001b]0;title\u0007\u009b2Jtext\r' }, 'm')).toBe(
      'TIME WARN m\n  message: ]0;title2Jtext\n',
    );
  });
});
