import { existsSync } from 'node:fs';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Browser, chromium, type Page } from 'playwright-core';
import { ask } from '../../support/ask.js';
import { eventually } from '../../support/eventually.js';
import { useRedis } from '../../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
const TOKEN = 'a-token-of-some-length';

beforeEach(async () => {
  await server.redis.client.flushall();
});

/** Debian's package; CI has it. */
const CHROMIUM = '/usr/bin/chromium';
const withChromium = existsSync(CHROMIUM) ? it : it.skip;
let browser: Promise<Browser> | undefined;
afterAll(async () => {
  await (await browser)?.close();
});

async function running(args: string[] = [], env: Record<string, string> = {}) {
  const simulator = await start.simulator();
  const sidecar = start.command(['start', ...args], { ...environment(server.redis, simulator), ...env });
  const url = String((await sidecar.logged('sidecar started')).url);
  await eventually(async () => (await ask(url, '/readyz')).status === 200);
  return { simulator, url, sidecar };
}

/** A page of a browser of its own, and all that it asked for. */
async function openPage(): Promise<{ page: Page; hosts: Set<string>; errors: string[] }> {
  browser ??= chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  const context = await (await browser).newContext({ httpCredentials: { username: 'anyone', password: TOKEN } });
  start.onEnd(() => context.close());
  const page = await context.newPage();
  const hosts = new Set<string>();
  const errors: string[] = [];
  page.on('request', (request) => hosts.add(new URL(request.url()).host));
  page.on('pageerror', ({ message }) => errors.push(message));
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes('401')) errors.push(message.text());
  });
  return { page, hosts, errors };
}

describe('the dashboard', () => {
  withChromium(
    'loads in a browser, finds a job, shows its data, and fetches nothing from elsewhere',
    async () => {
      const { simulator, url } = await running([], { HTTP_TOKEN: TOKEN });
      const headers = { authorization: `Bearer ${TOKEN}` };
      const running_ = simulator.addJob({ projectId: PROJECT, durationMs: 600_000 });
      const ended = simulator.addJob({ projectId: PROJECT, durationMs: 0, outcome: 'Failed' });
      // Parked after its first poll, since CFW asks for a long wait.
      const parked = simulator.addJob({
        projectId: PROJECT,
        durationMs: 600_000,
        faults: [{ fault: 'error', httpStatus: 500, code: 'CFW.00500002', retryAfter: '120', times: 100 }],
      });
      const jobs = [running_, ended, parked].map(({ jobId }) => ({ jobId, metadata: { order: `order of ${jobId}` } }));
      await ask(url, '/v1/jobs', { method: 'POST', headers, body: { jobs } });
      await eventually(async () => (await server.redis.events()).length === 1);
      await eventually(async () => (await server.redis.client.zcard('{cfw}:cfw-jobs:delayed')) === 1);

      const { page, hosts, errors } = await openPage();
      await page.goto(`${url}/dashboard`);
      await page.getByRole('link', { name: 'cfw-jobs' }).first().click();
      for (const name of [
        `${PROJECT}/${running_.jobId}: polling`,
        `${PROJECT}/${ended.jobId}: failed`,
        `${PROJECT}/${parked.jobId}: polling, 1 polls, last answer CFW.00500002`,
      ]) {
        await page.getByText(name).first().waitFor();
      }

      await page.goto(`${url}/dashboard/queue/cfw-jobs/${PROJECT}.${parked.jobId}`);
      await page.getByText(`order of ${parked.jobId}`).first().waitFor();
      await page.goto(`${url}/dashboard/queue/cfw-jobs?status=completed`);
      await page.getByText(`order of ${ended.jobId}`).first().waitFor();
      expect([...hosts]).toEqual([new URL(url).host]);
      expect(errors).toEqual([]);
    },
    60_000,
  );

  it('may load its own code only, and links nothing elsewhere', async () => {
    const { url } = await running();
    for (const path of ['/dashboard', '/dashboard/', '/dashboard/queue/cfw-jobs']) {
      const { status, headers, text } = await ask(url, path);
      expect(status).toBe(200);
      expect(headers['content-security-policy']).toContain("default-src 'self'");
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(text).toContain('<title>cfw-job-poller</title>');
      expect(text).not.toMatch(/(href|src)="(https?:)?\/\//);
    }
    for (const path of ['/dashboard/static/../../../package.json', '/dashboard/static/..%2f..%2f..%2fpackage.json']) {
      const { status, text } = await ask(url, path);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(text).not.toContain('"dependencies"');
    }
  });

  it('only shows, unless the start says otherwise', async () => {
    const readOnly = await running();
    const writes = [
      ['PUT', '/pause'],
      ['PUT', '/obliterate'],
      ['PUT', '/clean/delayed'],
      ['POST', '/add'],
      ['PUT', `/${PROJECT}.j/clean`],
    ] as const;
    for (const [method, path] of writes) {
      const answer = await ask(readOnly.url, `/dashboard/api/queues/cfw-jobs${path}`, { method, body: {} });
      expect([path, answer.status, answer.headers.allow]).toEqual([path, 405, 'GET, HEAD']);
    }
    expect(await start.rawQueue(server.redis).isPaused()).toBe(false);
    await readOnly.sidecar.kill('SIGTERM');

    const { url } = await running(['--dashboard-writable']);
    expect((await ask(url, '/dashboard/api/queues/cfw-jobs/pause', { method: 'PUT' })).status).toBe(200);
    expect(await start.rawQueue(server.redis).isPaused()).toBe(true);
    const headers = { origin: 'https://example.com' };
    const foreign = await ask(url, '/dashboard/api/queues/cfw-jobs/resume', { method: 'PUT', headers });
    expect(foreign.status).toBe(403);
  });
});
