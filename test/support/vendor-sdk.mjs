// Asks a cloud as a program does that is built on the vendor's SDK: a GET and a POST, both signed with AK/SK.
// Arguments: URL, access key, secret key, job id. It runs as a process of its own, since the SDK's axios takes jest for a browser.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { ClientBuilder } = require('@huaweicloud/huaweicloud-sdk-core/ClientBuilder.js');
const { BasicCredentials } = require('@huaweicloud/huaweicloud-sdk-core');

const [, , url, ak, sk, jobId] = process.argv;
const client = new ClientBuilder((hcClient) => hcClient)
  .withCredential(new BasicCredentials().withAk(ak).withSk(sk).withProjectId('p'))
  .withEndpoint(url)
  .build();
const request = (method, path, more = {}) => ({
  method,
  url: path,
  contentType: 'application/json',
  headers: {},
  pathParams: {},
  queryParams: {},
  ...more,
});
const send = (...args) => client.sendRequest(request(...args));
const job = await send('GET', `/v3/{project_id}/jobs/${jobId}`);
const data = { name: 'fw-ü', flavor: { version: 'Standard' }, charge_info: { charge_mode: 'postPaid' } };
const created = await send('POST', '/v2/{project_id}/firewall', { data, queryParams: { a: 'b c' } });
// Without a project, the SDK asks IAM for the one that has the name of the region.
const ofRegion = new ClientBuilder((hcClient) => hcClient)
  .withCredential(new BasicCredentials().withAk(ak).withSk(sk).withIamEndpoint(url))
  .withRegion({ id: 'p', endpoint: url, endpoints: [url] })
  .build();
const found = await ofRegion.sendRequest(request('GET', `/v3/{project_id}/jobs/${jobId}`));
process.stdout.write(JSON.stringify({ job, created, found }));
