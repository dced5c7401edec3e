// tsc emits TypeScript only; the Lua scripts travel beside the modules that load them.
import { cpSync } from 'node:fs';
import { extname } from 'node:path';

cpSync('src', 'dist', {
  recursive: true,
  filter: (path) => extname(path) === '' || extname(path) === '.lua',
});
