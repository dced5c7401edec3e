// Puts what modules read from files beside them into the built modules: Lua scripts and this package's version. A bundle of
// the library (esbuild, rollup, webpack) has none of these files, and as CommonJS no import.meta.url either. What browsers load is
// copied beside the module that serves it: the sidecar is not bundled.
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, relative, resolve } from 'node:path';

const READS_LUA = /readFileSync\(new URL\('(\.{1,2}\/[\w./-]+\.lua)', import\.meta\.url\), 'utf8'\)/g;
const READS_VERSION = /createRequire\(import\.meta\.url\)\('cfw-job-poller\/package\.json'\)/g;
const FOR_BROWSERS = ['.css', '.js', '.svg'];
const LEFT_OVER = /\.lua['"`]|cfw-job-poller\/package\.json/;

/**
 * Embeds into one built module. The number of lines stays, so that its source map stays true.
 *
 * @param {string} code the module as tsc wrote it.
 * @param {(path: string) => string} readLua reads a script, by its path from the module.
 * @param {string} version this package's version.
 * @throws {Error} if the module still reads one of these files after that.
 */
export function embed(code, readLua, version) {
  const embedded = code
    .replace(READS_LUA, (_, path) => JSON.stringify(readLua(path)))
    .replace(READS_VERSION, () => JSON.stringify({ version }));
  const left = LEFT_OVER.exec(embedded);
  if (left !== null) {
    const line = embedded.slice(0, left.index).split('\n').length;
    throw new Error(
      `line ${line} names ${left[0]} in a form that scripts/embed.mjs does not embed; its patterns show which it does`,
    );
  }
  // rollup warns of an import that nothing uses.
  return ['readFileSync', 'createRequire'].reduce(withoutUnusedImport, embedded);
}

function withoutUnusedImport(code, name) {
  const rest = code.replace(new RegExp(`^import \\{ ${name} \\} from '[^']+';$`, 'm'), '');
  return new RegExp(`\\b${name}\\b`).test(rest) ? code : rest;
}

/** Embeds into all modules of a folder that tsc has built from src/. */
function embedAll(target) {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  for (const entry of readdirSync(target, { recursive: true })) {
    if (!entry.endsWith('.js')) continue;
    const path = join(target, entry);
    const source = dirname(join('src', relative(target, path)));
    const code = readFileSync(path, 'utf8');
    try {
      const embedded = embed(code, (lua) => readFileSync(join(source, lua), 'utf8'), version);
      if (embedded !== code) writeFileSync(path, embedded);
    } catch (error) {
      throw new Error(`${path}: ${error.message}`, { cause: error });
    }
  }
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === import.meta.filename) {
  const [target = 'dist'] = process.argv.slice(2);
  cpSync('src', target, { recursive: true, filter: (path) => ['', ...FOR_BROWSERS].includes(extname(path)) });
  embedAll(target);
}
