import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import got from 'got';
import { useCleanUp } from '../support/sidecar.js';

const start = useCleanUp();
const run = promisify(execFile);
const support = (name: string) => fileURLToPath(new URL(`../support/${name}`, import.meta.url));
/** The system's Python has Debian's packages, whichever comes first on the path. */
const python = ['/usr/bin/python3', 'python3'].find(
  (command) => spawnSync(command, ['-c', 'import keystoneauth1, requests']).status === 0,
);

describe('the simulator', () => {
  it("takes a GET and a POST of the vendor's SDK, which may find its project by IAM, and refuses them with a wrong key", async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: 'p', durationMs: 0, outcome: 'Success' });
    const { accessKey, secretKey } = simulator.key;
    const sdk = (sk: string) => run(process.execPath, [support('vendor-sdk.mjs'), simulator.url, accessKey, sk, jobId]);
    const { job, created, found } = JSON.parse((await sdk(secretKey)).stdout);
    expect(job.data).toMatchObject({ id: jobId, status: 'Success' });
    expect(created.data).toEqual({ id: created.job_id, name: 'fw-ü' });
    expect(found.data).toEqual(job.data);
    expect(simulator.key.checked).toEqual({ right: 4, wrong: 0 });
    await expect(sdk('wrong')).rejects.toThrow();
    expect(simulator.key.checked).toEqual({ right: 4, wrong: 1 });
  });

  it('refuses a signed request whose body was changed on the way', async () => {
    const simulator = await start.simulator();
    const { accessKey, secretKey } = simulator.key;
    const { signedHeaders } = await import('../../src/cfw/credentials/keys.js');
    const url = new URL(`${simulator.url}/v2/p/firewall`);
    const signed = { method: 'POST', url, headers: { 'content-type': 'application/json' }, body: '{"name":"a"}' };
    const headers = signedHeaders({ accessKey, secretKey }, signed);
    const post = (body: string) =>
      got
        .post(url, { headers, body, throwHttpErrors: false, retry: { limit: 0 } })
        .then(({ statusCode }) => statusCode);
    expect([await post('{"name":"a"}'), await post('{"name":"b"}')]).toEqual([200, 401]);
  });

  (python === undefined ? it.skip : it)("is a Keystone to OpenStack's own client", async () => {
    const simulator = await start.simulator();
    const { user, password, domain, applicationCredential: app } = simulator.iam;
    const args = [support('keystoneauth.py'), simulator.url, user, password, domain, app.id, app.name, app.secret];
    const { stdout } = await run(python ?? '', args);
    expect(JSON.parse(stdout)).toEqual({
      versions: ['(3, 14)'],
      endpoint: `${simulator.url}/v3/p`,
      project: 'p',
      unscoped: null,
      domain,
      rescoped: 'q',
      application: ['my-project', 'my-project'],
      validated: 'p',
    });
  });
});
