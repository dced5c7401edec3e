import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Simulator, startSimulator } from '../../src/simulator/index.js';
import { ask } from '../support/ask.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment } from '../support/sidecar.js';
import { ownVersion, PACKED, useProjects } from './support/project.js';
import { expectService, SERVICE_CJS, SERVICE_ESM } from './support/service.js';

const server = useRedis();
const newProject = useProjects();
const dependencies = { 'cfw-job-poller': PACKED, ioredis: ownVersion('ioredis') };

let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator();
});
afterAll(async () => {
  await simulator.stop();
});

/** How each package manager installs strictly, what it prints if an installed package does not fit, and how it runs a program. */
const MANAGERS = {
  npm: {
    install: ['npm', 'install', '--no-audit', '--no-fund'],
    warnings: /EBADENGINE|ERESOLVE|EPEERINVALID|deprecated/,
    node: ['node'],
    bin: ['npx', '--no-install'],
    services: ['service.mjs', 'service.cjs'],
  },
  // It refuses engines that do not fit unless told otherwise.
  'yarn 1': {
    install: ['npx', '-y', 'yarn@1.22.22', 'install', '--no-progress', '--cache-folder', '.cache'],
    warnings: /^warning/m,
    node: ['node'],
    bin: ['npx', '--no-install'],
    services: ['service.mjs', 'service.cjs'],
  },
  // Its default is Plug'n'Play, which finds imports that package.json does not have. It cannot require() an ES module that
  // imports others.
  'yarn 4': {
    install: ['npx', '-y', '-p', '@yarnpkg/cli-dist@4.18.1', 'yarn', 'install'],
    warnings: /YN0002|YN0060|YN0061|YN0086/,
    node: ['npx', '-y', '-p', '@yarnpkg/cli-dist@4.18.1', 'yarn', 'node'],
    bin: ['npx', '-y', '-p', '@yarnpkg/cli-dist@4.18.1', 'yarn'],
    services: ['service.mjs'],
  },
  pnpm: {
    install: ['npx', '-y', 'pnpm@10.34.8', 'install', '--config.engine-strict=true'],
    warnings: /unsupported engine|unmet peer|deprecated/i,
    node: ['node'],
    bin: ['npx', '--no-install'],
    services: ['service.mjs', 'service.cjs'],
  },
} as const;

const YARN_4 = {
  YARN_ENABLE_GLOBAL_CACHE: '0',
  YARN_ENABLE_IMMUTABLE_INSTALLS: '0',
  YARN_ENABLE_TELEMETRY: '0',
};

describe('the packed package', () => {
  it.each(Object.entries(MANAGERS))(
    'installs by %s without a warning, and its command, a producer and a subscriber run from there',
    async (_name, { install, warnings, node, bin, services }) => {
      const project = newProject(dependencies);
      const { output } = await project.succeed(install, YARN_4);
      expect(output.split('\n').filter((line) => warnings.test(line))).toEqual([]);
      project.write('service.mjs', SERVICE_ESM);
      project.write('service.cjs', SERVICE_CJS);

      // The sidecar first, which polls for both.
      const env = { ...environment(server.redis, simulator), ...YARN_4 };
      const [program = '', ...args] = [...bin, 'cfw-job-poller', 'start'];
      const sidecar = spawn(program, args, {
        cwd: project.folder,
        env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      });
      let log = '';
      sidecar.stdout.setEncoding('utf8').on('data', (text) => {
        log += text;
      });
      const exited = new Promise((resolve) => sidecar.once('exit', resolve));
      try {
        const url = await eventually(() => /"url":"([^"]+)"/.exec(log)?.[1], { what: 'the sidecar' });
        await eventually(async () => (await ask(url, '/readyz')).status === 200);
        for (const file of services) {
          await expectService(simulator, server.redis.url, (args, env) =>
            project.succeed([...node, join(project.folder, file), ...args], { ...env, ...YARN_4 }),
          );
        }
      } finally {
        // The program that a package manager runs is a child of its own.
        process.kill(-(sidecar.pid as number), 'SIGTERM');
        await exited;
      }
    },
  );
});
