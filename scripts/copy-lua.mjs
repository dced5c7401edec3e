// tsc emits TypeScript only; the Lua scripts travel beside the modules that load them.
import { cpSync } from 'node:fs';
import { extname } from 'node:path';

const [target = 'dist'] = process.argv.slice(2);
cpSync('src', target, {
  recursive: true,
  filter: (path) => extname(path) === '' || extname(path) === '.lua',
});
