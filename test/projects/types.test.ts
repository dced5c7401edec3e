import { join } from 'node:path';
import { beforeAll, describe, it } from '@jest/globals';
import { ownVersion, PACKED, type Project, useProjects } from './support/project.js';

const newProject = useProjects();

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

/** The same by the path of those that only read events. */
const USE_SUBSCRIBER = `
import { Redis } from 'ioredis';
import { CfwJobEventSubscriber, type CfwJobEvent } from 'cfw-job-poller/subscriber';

export const subscriber = new CfwJobEventSubscriber({
  redis: new Redis(), group: 'g', consumer: 'c', handler: (event: CfwJobEvent) => event.data.metadata?.['orderId'],
});
`;

/** TypeScript by version, and the ways of resolution that it knows. */
const COMPILERS = {
  '5.4.5': ['nodenext', 'bundler'],
  '5.9.3': ['nodenext', 'node20', 'bundler'],
  '6.0.3': ['nodenext', 'node20', 'bundler'],
  '7.0.2': ['nodenext', 'node20', 'bundler'],
} as const;
const CLIENTS = { 5: ownVersion('ioredis5'), 6: '^6.0.0' } as const;

let compilers: Project;
let services: Project[];
beforeAll(async () => {
  const aliases = Object.keys(COMPILERS).map((version) => [`typescript-${version}`, `npm:typescript@${version}`]);
  compilers = newProject({ ...Object.fromEntries(aliases), '@types/node': ownVersion('@types/node') });
  await compilers.install();
  services = Object.values(CLIENTS).map((ioredis) =>
    newProject({ 'cfw-job-poller': PACKED, ioredis, '@types/node': ownVersion('@types/node') }),
  );
  for (const service of services) {
    service.write('module.mts', USE);
    service.write('common.cts', USE);
    service.write('subscriber.mts', USE_SUBSCRIBER);
    await service.install('--engine-strict');
  }
}, 300_000);

describe(`connections of ioredis ${Object.keys(CLIENTS).join(' and ')} type-check, libraries included`, () => {
  it.each(Object.entries(COMPILERS).flatMap(([version, ways]) => ways.map((way) => [version, way] as const)))(
    'with TypeScript %s and %s',
    async (version, way) => {
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
      // A bundler has no CommonJS of its own, and this TypeScript does not know that Node can require() an ES module.
      const hasCommon = way !== 'bundler' && version !== '5.4.5';
      const names = ['module.mts', 'subscriber.mts', ...(hasCommon ? ['common.cts'] : [])];
      // Each service resolves in its own folder.
      const files = services.flatMap(({ folder }) => names.map((name) => join(folder, name)));
      compilers.write('tsconfig.json', JSON.stringify({ compilerOptions, files }));
      await compilers.succeed(['node', `node_modules/typescript-${version}/bin/tsc`]);
    },
    120_000,
  );
});
