// tsc emits TypeScript only; Lua scripts and what the page loads travel beside the modules that read them.
import { cpSync } from 'node:fs';
import { extname } from 'node:path';

const [target = 'dist'] = process.argv.slice(2);
cpSync('src', target, {
  recursive: true,
  filter: (path) => ['', '.lua', '.css', '.js', '.svg'].includes(extname(path)),
});
