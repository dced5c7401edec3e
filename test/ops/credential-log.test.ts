import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from '@jest/globals';
import { createClient } from '../../src/client.js';
import { loadConfig } from '../../src/config/index.js';
import { logCredentials } from '../../src/ops/credential-log.js';
import { createLogger } from '../../src/ops/logger.js';
import { eventually } from '../support/eventually.js';

const closers: (() => unknown)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function logged() {
  const lines: Record<string, unknown>[] = [];
  return { lines, logger: createLogger('info', { write: (line) => lines.push(JSON.parse(line)) }) };
}

it('a source that gives no credentials is logged once, until it gives some again', () => {
  const { lines, logger } = logged();
  const log = logCredentials({ kind: 'iam' }, logger);
  const failure = { code: 'ETIMEDOUT', httpStatus: null, message: 'IAM cannot be reached' };
  const issued = { expiresAt: new Date(), isRenewal: true };
  for (const report of [log.onNotIssued, log.onNotIssued]) report(failure);
  for (const report of [log.onIssued, log.onIssued]) report(issued);
  log.onNotIssued(failure);
  expect(lines.map(({ level, msg }) => `${level} ${msg}`)).toEqual([
    'warn credentials not issued; their source is asked again',
    'info credentials issued again',
    'info credentials renewed',
    'warn credentials not issued; their source is asked again',
  ]);
});

it('IAM that fails is logged without secrets, and so is its return', async () => {
  let isDown = true;
  const server = createServer((request, response) => {
    if (request.method === 'GET') response.end('{"data":{"status":"Running"}}');
    else if (isDown) response.writeHead(503).end('{"error_msg":"hunter2hunter2 is not known yet"}');
    else response.writeHead(201, { 'x-subject-token': 'token' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close().closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = loadConfig({
    CFW_ENDPOINT: url,
    OS_AUTH_URL: `${url}/v3`,
    OS_USERNAME: 'u',
    OS_USER_DOMAIN_NAME: 'd',
    OS_PASSWORD: 'hunter2hunter2',
  });
  const { lines, logger } = logged();
  const { client, close } = createClient(config, logCredentials(config.credentials, logger));
  closers.push(close);
  const call = () => client.getJob({ projectId: 'p', jobId: 'j' });
  expect(await call()).toMatchObject({ kind: 'withheld', code: 'IAM_HTTP_503' });
  isDown = false;
  // IAM is not asked again for a second.
  await eventually(async () => (await call()).kind === 'job');
  expect(lines).toMatchObject([
    { level: 'warn', code: 'IAM_HTTP_503', httpStatus: 503, error: 'IAM gives no token: [secret] is not known yet' },
    { level: 'info', msg: 'credentials issued again' },
    { level: 'info', msg: 'credentials issued' },
  ]);
});
