import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cfw-job-poller-types-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A service's use of the package; what is refused is refused by each compiler. */
const USE = `
import { Cluster, Redis } from 'ioredis';
import {
  CfwJobEventSubscriber, CfwJobProducer, CfwJobWaiter, consumeEvents, readEvents, type CfwJobEvent, type RedisConnection,
} from 'cfw-job-poller';

const single = new Redis('redis://127.0.0.1:6379', { maxRetriesPerRequest: null });
const cluster = new Cluster([{ host: '127.0.0.1', port: 6379 }]);
const either: Redis | Cluster = Math.random() > 0.5 ? single : cluster;
export const connections: RedisConnection[] = [single, cluster, either];
export const producer = new CfwJobProducer({ redis: single, projectId: 'p' });
export const waiter = new CfwJobWaiter({ redis: cluster });
export const subscriber = new CfwJobEventSubscriber({
  redis: either, group: 'g', consumer: 'c', handler: (event) => event.data.reason, onError: (error) => error.message,
});
export async function all(): Promise<CfwJobEvent[]> {
  const events: CfwJobEvent[] = [];
  for await (const { event } of readEvents(cluster)) events.push(event);
  for await (const { event } of consumeEvents({ redis: single, group: 'g', consumer: 'c' })) events.push(event);
  return events;
}
// @ts-expect-error: an address is no connection
export const none = new CfwJobProducer({ redis: 'redis://127.0.0.1:6379' });
`;

/** TypeScript by version, and the ways of resolution that it knows. */
const COMPILERS = {
  '5.4.5': ['nodenext', 'bundler'],
  '5.9.3': ['nodenext', 'node20', 'bundler'],
  '6.0.3': ['nodenext', 'node20', 'bundler'],
  '7.0.2': ['nodenext', 'node20', 'bundler'],
} as const;
const CLIENTS = { ioredis5: '5.x', ioredis: '6.x' } as const;
const compiler = (version: string) => join(folder, `node_modules/typescript-${version}/bin/tsc`);

beforeAll(() => {
  const aliases = Object.keys(COMPILERS).map((version) => [`typescript-${version}`, `npm:typescript@${version}`]);
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ private: true, dependencies: Object.fromEntries(aliases) }),
  );
  execFileSync('npm', ['i', '--no-audit', '--no-fund', '--silent'], { cwd: folder });
  symlinkSync(join(root, 'node_modules/@types'), join(folder, 'node_modules/@types'));
  for (const name of Object.keys(CLIENTS)) {
    const project = join(folder, name);
    const modules = join(project, 'node_modules');
    mkdirSync(modules, { recursive: true });
    symlinkSync(root, join(modules, 'cfw-job-poller'));
    symlinkSync(join(root, 'node_modules', name), join(modules, 'ioredis'));
    writeFileSync(join(project, 'package.json'), '{"private":true,"type":"module"}');
    writeFileSync(join(project, 'use.ts'), USE);
  }
}, 300_000);

describe(`connections of ioredis ${Object.values(CLIENTS).join(' and ')} type-check, libraries included`, () => {
  it.each(Object.entries(COMPILERS).flatMap(([version, ways]) => ways.map((way) => [version, way] as const)))(
    'with TypeScript %s and %s',
    (version, way) => {
      const [module, moduleResolution] =
        way === 'bundler' ? ['esnext', 'bundler'] : [way, way === 'node20' ? 'node16' : way];
      const compilerOptions = {
        strict: true,
        noEmit: true,
        skipLibCheck: false,
        target: 'es2022',
        lib: ['es2023'],
        types: ['node'],
        module,
        moduleResolution,
      };
      // Each client resolves in its own folder.
      const files = Object.keys(CLIENTS).map((client) => `${client}/use.ts`);
      const project = join(folder, `tsconfig.${version}.${way}.json`);
      writeFileSync(project, JSON.stringify({ compilerOptions, files }));
      const { stdout, status } = spawnSync(process.execPath, [compiler(version), '-p', project], { encoding: 'utf8' });
      expect([stdout, status]).toEqual(['', 0]);
    },
    120_000,
  );
});
