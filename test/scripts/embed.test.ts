import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
// @ts-expect-error: a script of the build, which has no types.
import { embed } from '../../scripts/embed.mjs';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const LUA = 'return "a\\n" -- é\n';
const embedded = (code: string) => embed(code, () => LUA, '1.2.3');

describe('the build', () => {
  it('puts scripts and version into the modules that read them, and moves no line', () => {
    const code =
      "import { readFileSync } from 'node:fs';\nconst LUA = readFileSync(new URL('./a-b.lua', import.meta.url), 'utf8');\n";
    expect(embedded(code)).toBe(`\nconst LUA = ${JSON.stringify(LUA)};\n`);
    const version = "const { version } = createRequire(import.meta.url)('cfw-job-poller/package.json');";
    expect(embedded(version)).toBe('const { version } = {"version":"1.2.3"};');
  });

  it.each([
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is code.
    "readFileSync(new URL(`./${name}.lua`, import.meta.url), 'utf8')",
    "readFileSync(new URL('./a.lua', import.meta.url)).toString()",
    "readFileSync(path.join(folder, 'a.lua'), 'utf8')",
    "require('cfw-job-poller/package.json')",
  ])('fails at a file that it would leave out: %s', (expression) => {
    expect(() => embedded(`\nconst text = ${expression};\n`)).toThrow(/^line 2 names .* does not embed/);
  });

  it('has left no such file to be read', () => {
    const files = readdirSync(DIST, { recursive: true, encoding: 'utf8' });
    expect(files.filter((name) => name.endsWith('.lua'))).toEqual([]);
    const code = files.filter((name) => name.endsWith('.js')).map((name) => readFileSync(`${DIST}${name}`, 'utf8'));
    expect(code.filter((text) => /\.lua\b.*import\.meta|cfw-job-poller\/package\.json/.test(text))).toEqual([]);
    expect(code.some((text) => text.includes("redis.call('XADD'"))).toBe(true);
  });
});
