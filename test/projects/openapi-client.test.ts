import { expect, it } from '@jest/globals';
import { ask } from '../support/ask.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';
import { type Project, useProjects } from './support/project.js';

const server = useRedis();
const start = useCleanUp();
const newProject = useProjects();

const CLIENT = `
import createClient from 'openapi-fetch';
import type { paths } from './api.js';

const [baseUrl = '', projectId = '', jobId = ''] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl });

const metadata = { orderId: '42', items: [{ n: 1 }] };
const { data, error } = await client.POST('/v1/jobs', { body: { jobId, projectId, metadata } });
if (error !== undefined) throw new Error(error.detail);
console.log(data.jobs.map(({ state }) => state).join());

const refused = await client.POST('/v1/jobs', { body: { jobs: [{ jobId: '' }] } });
console.log(refused.error?.status, refused.error?.problems?.length);

const path = { projectId, jobId };
let job = await client.GET('/v1/jobs/{projectId}/{jobId}', { params: { path } });
while (job.data !== undefined && job.data.event === null) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  job = await client.GET('/v1/jobs/{projectId}/{jobId}', { params: { path } });
}
const event = job.data?.event;
const orderId: unknown = event?.data.metadata?.['orderId'];
if (event?.type === 'cfw.job.completed') console.log('completed', orderId);
else if (event?.type === 'cfw.job.failed') console.log(event.data.reason satisfies string, orderId);
const lastError = event?.data.lastError;
console.log(lastError?.httpStatus satisfies number | null | undefined, job.data?.lastError?.httpStatus);

const health = await client.GET('/healthz');
console.log(health.data?.status);
// @ts-expect-error: a project id is needed.
void (() => client.GET('/v1/jobs/{projectId}/{jobId}', { params: { path: { jobId } } }));
// @ts-expect-error: a time-out is a number.
void (() => client.POST('/v1/jobs', { body: { jobId, timeoutMs: '5m' } }));
`;

/** A project with what is generated from the document of a running sidecar. */
async function withClient(url: string): Promise<Project> {
  const project = newProject({
    '@types/node': '20.19.43',
    'openapi-fetch': '0.17.0',
    'openapi-typescript': '7.13.0',
    // The generator works with TypeScript's own compiler, as it was up to 5.
    typescript: '5.9.3',
  });
  project.write('openapi.json', (await ask(url, '/openapi.json')).text);
  project.write('client.mts', CLIENT);
  await project.install();
  await project.succeed(['npx', '--no-install', 'openapi-typescript', 'openapi.json', '--output', 'api.d.ts']);
  return project;
}

it('a client that is generated from the OpenAPI document compiles, and does all that HTTP offers', async () => {
  const simulator = await start.simulator();
  const { url } = await start.sidecar(environment(server.redis, simulator));
  await eventually(async () => (await ask(url, '/readyz')).status === 200);
  const project = await withClient(url);
  const options = [
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--skipLibCheck',
    'false',
    '--types',
    'node',
  ];
  await project.succeed(['npx', '--no-install', 'tsc', ...options, 'client.mts']);

  const job = simulator.addJob({
    projectId: PROJECT,
    durationMs: 300,
    outcome: 'Failed',
    faults: [{ fault: 'error', httpStatus: 500, code: 'CFW.00500002', times: 1 }],
  });
  const { stdout } = await project.succeed(['node', 'client.mjs', url, PROJECT, job.jobId]);
  expect(stdout.trim().split('\n')).toEqual(['queued', '400 1', 'JOB_FAILED 42', '500 500', 'ok']);
});
