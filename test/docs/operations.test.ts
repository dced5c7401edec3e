import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';

const src = fileURLToPath(new URL('../../src/', import.meta.url));
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(`${src}/${file}`, 'utf8'));
const runbook = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');

describe('the runbook', () => {
  it('has each message that is logged at warn and above', () => {
    const calls = /logger\s*\.(?:warn|error|fatal)\([^;]*?'([^']+)',?\s*\)/g;
    const messages = sources.flatMap((text) => [...text.matchAll(calls)].map(([, message = '']) => message));
    expect(messages.length).toBeGreaterThan(10);
    expect(messages.filter((message) => !runbook.includes(`\`${message}\``))).toEqual([]);
  });

  it('has no message that is logged no more', () => {
    const [, table = ''] = runbook.split('\n## Log lines at warn and above\n');
    const rows = [...(table.split('\n## ')[0] ?? '').matchAll(/^\| (?:… with )?`([^`…]+)`/gm)];
    const listed = rows.map(([, message = '']) => message).filter((message) => message !== 'msg');
    expect(listed.length).toBeGreaterThan(10);
    const all = sources
      .join('\n')
      .replaceAll(/\$\{DEAD_AFTER_S\}/g, '10')
      .replaceAll(/\$\{HANDSHAKE_MS \/ 1_000\}/g, '12');
    expect(listed.filter((message) => !all.includes(message))).toEqual([]);
  });
});
