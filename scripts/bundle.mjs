// Bundles the built command, since most of its start and much of its memory is the loading of hundreds of small modules.
//   dist/cli.js         picks one of the two below
//   dist/bundle/cli.js  the program and all libraries, in as few files as its lazy imports allow
//   dist/traced/cli.js  the same, but with what package.json has as dependencies left as packages
// What only the command uses is a devDependency therefore: who installs the package gets it in the bundle.
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

/** Optional, and not needed: tracing loads the other program, and msgpackr is told to do without its native part. */
const NEVER_BUNDLED = ['bullmq-otel', 'msgpackr-extract'];
const FOR_BROWSERS = ['page.css', 'page.js', 'icon.svg'];

/** What libraries load and the command never uses: by which of them, and what. It took a fifth of the start. */
const UNUSED = [
  // Messages in 50 languages: the command has them in English only.
  ['zod', /locales\/index\.js$/],
  // HTTP/2, which is off.
  ['got', /^http2-wrapper$/],
  // Job schedulers.
  ['bullmq', /^cron-parser$/],
  // Queues in PostgreSQL.
  ['bullmq', /^(\.\.?\/)+postgres(\/|$)/],
];
const withoutUnused = {
  name: 'without-unused',
  setup({ onResolve, onLoad }) {
    for (const [library, filter] of UNUSED) {
      onResolve({ filter }, ({ importer }) =>
        new RegExp(`[\\\\/]node_modules[\\\\/]${library}[\\\\/]`).test(importer)
          ? { path: 'unused', namespace: 'none' }
          : undefined,
      );
    }
    onLoad({ filter: /./, namespace: 'none' }, () => ({ contents: 'module.exports = {}' }));
  },
};

async function bundle(folder, external) {
  const { metafile } = await build({
    entryPoints: { cli: 'dist/program.js' },
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    // BullMQ as ES modules, of which only what is used is taken.
    mainFields: ['module', 'main'],
    external,
    define: { 'process.env.MSGPACKR_NATIVE_ACCELERATION_DISABLED': '"true"' },
    plugins: [withoutUnused],
    // V8 keeps the text of what it has loaded. Names stay, so that stack traces can be read.
    minifyWhitespace: true,
    minifySyntax: true,
    // For the parts that are CommonJS.
    banner: {
      js: "import{createRequire as createBundleRequire}from'node:module';const require=createBundleRequire(import.meta.url);",
    },
    metafile: true,
    logLevel: 'warning',
  });
  // The page reads them from beside its module.
  for (const name of FOR_BROWSERS) copyFileSync(`dist/ops/http/page/${name}`, `${folder}/${name}`);
  writeFileSync(`${folder}/LICENSES.txt`, licenses(Object.keys(metafile.inputs)));
}

/** The licenses of bundled packages ask that their text goes along. */
function licenses(paths) {
  const packages = new Set(paths.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []));
  const texts = [...packages].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? '' : `\n${readFileSync(`${folder}/${file}`, 'utf8').trim()}\n`;
    return `${name} ${version} (${license})\n${text}`;
  });
  return texts.join(`\n${'-'.repeat(80)}\n`);
}

renameSync('dist/cli.js', 'dist/program.js');
// Source maps stay where they are, since each module names its own.
renameSync('dist/command.js', 'dist/cli.js');
for (const name of ['cli', 'command']) rmSync(`dist/${name}.d.ts`);
const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
await bundle('dist/bundle', NEVER_BUNDLED);
await bundle('dist/traced', [...NEVER_BUNDLED, ...Object.keys(dependencies)]);
