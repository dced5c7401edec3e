import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { useRedis } from '../support/redis.js';
import { environment, useCleanUp } from '../support/sidecar.js';
import { ownVersion, PACKED, type Project, useProjects } from './support/project.js';
import { expectService, SERVICE_CJS, SERVICE_ESM } from './support/service.js';

const server = useRedis();
const start = useCleanUp();
const newProject = useProjects();

const ROLLUP = `
import commonjs from '@rollup/plugin-commonjs';
import json from '@rollup/plugin-json';
import resolve from '@rollup/plugin-node-resolve';
export default {
  input: 'service.mjs',
  plugins: [resolve({ preferBuiltins: true, exportConditions: ['node'] }), commonjs(), json()],
  output: [
    { file: 'out/rollup.mjs', format: 'es', inlineDynamicImports: true },
    { file: 'out/rollup.cjs', format: 'cjs', inlineDynamicImports: true },
  ],
};`;
const WEBPACK = `
const webpack = require('webpack');
const path = require('node:path');
const common = { mode: 'production', target: 'node', entry: './service.mjs', optimization: { minimize: false } };
const output = { path: path.resolve('out') };
webpack([
  { ...common, output: { ...output, filename: 'webpack.cjs' } },
  {
    ...common,
    experiments: { outputModule: true },
    output: { ...output, filename: 'webpack.mjs', module: true, chunkFormat: 'module' },
  },
], (error, stats) => {
  if (error ?? stats.hasErrors()) throw error ?? new Error(stats.toString());
});`;
/** Dependencies that are CommonJS call require(), which an ES module of esbuild's lacks otherwise. */
const ESBUILD_REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

/** As a host with OpenTelemetry looks, whose packages are not in the bundle. */
const OPENTELEMETRY = "globalThis[Symbol.for('opentelemetry.js.api.1')] = { trace: {} };";

let project: Project;
beforeAll(async () => {
  project = newProject({
    'cfw-job-poller': PACKED,
    ioredis: ownVersion('ioredis'),
    esbuild: '0.28.2',
    rollup: '4.68.8',
    '@rollup/plugin-commonjs': '29.0.3',
    '@rollup/plugin-json': '6.1.0',
    '@rollup/plugin-node-resolve': '16.0.3',
    webpack: '5.112.2',
  });
  project.write('service.mjs', SERVICE_ESM);
  project.write('service.cjs', SERVICE_CJS);
  project.write('rollup.config.mjs', ROLLUP);
  project.write('webpack.cjs', WEBPACK);
  project.write('opentelemetry.cjs', OPENTELEMETRY);
  await project.install();
  const esbuild = [
    'npx',
    '--no-install',
    'esbuild',
    'service.mjs',
    '--bundle',
    '--platform=node',
    '--log-level=warning',
  ];
  await project.succeed([...esbuild, '--format=cjs', '--outfile=out/esbuild.cjs']);
  await project.succeed([...esbuild, '--format=esm', `--banner:js=${ESBUILD_REQUIRE}`, '--outfile=out/esbuild.mjs']);
  await project.succeed(['npx', '--no-install', 'rollup', '--config', 'rollup.config.mjs', '--silent']);
  await project.succeed(['node', 'webpack.cjs']);
});

describe('a service in one file, without node_modules', () => {
  it.each([
    ['esbuild.cjs', []],
    ['esbuild.mjs', []],
    ['rollup.cjs', []],
    ['rollup.mjs', []],
    ['webpack.cjs', []],
    ['webpack.mjs', []],
    ['esbuild.cjs', ['--require', './opentelemetry.cjs']],
    ['esbuild.mjs', ['--require', './opentelemetry.cjs']],
  ])('%s runs %j', async (bundle, options) => {
    const simulator = await start.simulator();
    await start.sidecar(environment(server.redis, simulator));
    const alone = newProject({});
    copyFileSync(join(project.folder, 'out', bundle), join(alone.folder, bundle));
    alone.write('opentelemetry.cjs', OPENTELEMETRY);
    await expectService(simulator, server.redis.url, (args, env) =>
      alone.succeed(['node', ...options, bundle, ...args], env),
    );
  });
});

describe('the subscriber by itself', () => {
  it('loads no BullMQ', async () => {
    project.write(
      'modules.cjs',
      `
      const { Redis } = require('ioredis');
      const { CfwJobEventSubscriber } = require('cfw-job-poller/subscriber');
      console.log(typeof CfwJobEventSubscriber, Object.keys(require.cache).filter((path) => /node_modules.(bullmq|got|pino)/.test(path)));`,
    );
    const { stdout } = await project.succeed(['node', 'modules.cjs']);
    expect(stdout.trim()).toBe('function []');
  });
});
