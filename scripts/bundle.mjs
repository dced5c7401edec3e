// Bundles the built command, since most of its start and much of its memory is loading hundreds of small modules.
//   dist/cli.js            picks one of the two below
//   dist/bundle/cli.js     the program with the libraries, in as few files as its lazy imports allow
//   dist/cli-unbundled.js  the program as plain modules
import { copyFileSync, renameSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

/** Loaded only if the host has set up tracing, when they have to be the host's; and a native part of msgpackr's. */
const EXTERNAL = ['@opentelemetry/api', 'bullmq-otel', 'msgpackr-extract'];
const FOR_BROWSERS = ['page.css', 'page.js', 'icon.svg'];

/** zod carries its messages in 50 languages; the command reads English ones only. */
const englishOnly = {
  name: 'english-only',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /locales\/index\.js$/ }, ({ importer }) =>
      /[\\/]zod[\\/]/.test(importer) ? { path: 'locales', namespace: 'none' } : undefined,
    );
    onLoad({ filter: /./, namespace: 'none' }, () => ({ contents: 'export {}' }));
  },
};

// Their source maps stay where they are, since each module names its own.
renameSync('dist/cli.js', 'dist/cli-unbundled.js');
renameSync('dist/command.js', 'dist/cli.js');
for (const name of ['cli', 'command']) rmSync(`dist/${name}.d.ts`, { force: true });

await build({
  entryPoints: { cli: 'dist/cli-unbundled.js' },
  outdir: 'dist/bundle',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  external: EXTERNAL,
  plugins: [englishOnly],
  // V8 keeps the text of what it has loaded. Names stay, so that stack traces can be read.
  minifyWhitespace: true,
  minifySyntax: true,
  // For the parts that are CommonJS.
  banner: {
    js: "import{createRequire as createBundleRequire}from'node:module';const require=createBundleRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
// The page reads them from beside its module.
for (const name of FOR_BROWSERS) copyFileSync(`dist/ops/http/page/${name}`, `dist/bundle/${name}`);
