import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { binOf, DurationStore } from '../../../src/schedule/index.js';
import { ask } from '../../support/ask.js';
import { eventually } from '../../support/eventually.js';
import { useRedis } from '../../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
const TOKEN = 'a-token-of-some-length';
const headers = { authorization: `Bearer ${TOKEN}` };

beforeEach(async () => {
  await server.redis.client.flushall();
});

/** Debian's package; CI has it. */
const CHROMIUM = '/usr/bin/chromium';
const withChromium = existsSync(CHROMIUM) ? it : it.skip;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** A folder for pictures of the page, for the documentation. */
const { SCREENSHOTS } = process.env;
let browser: Promise<Browser> | undefined;
afterAll(async () => {
  await (await browser)?.close();
});

async function running(args: string[] = [], env: Record<string, string> = {}) {
  const simulator = await start.simulator();
  const sidecar = start.command(['start', ...args], {
    ...environment(server.redis, simulator),
    CFW_RATE_LIMIT: '0',
    HTTP_TOKEN: TOKEN,
    ...env,
  });
  const url = String((await sidecar.logged('sidecar started')).url);
  await eventually(async () => (await ask(url, '/readyz')).status === 200);
  return { simulator, url, sidecar };
}

/** A page of a browser of its own, and all that it asked for and complained of. */
async function openPage(options: BrowserContextOptions = {}) {
  browser ??= chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  const credentials = { username: 'anyone', password: TOKEN };
  const context = await (await browser).newContext({ httpCredentials: credentials, bypassCSP: false, ...options });
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

/** What axe-core finds wrong with the accessibility of a page. */
async function violations(page: Page): Promise<string[]> {
  // By the debugger, which the page's own rules for scripts do not concern.
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: AXE });
  const { result } = await session.send('Runtime.evaluate', {
    expression:
      'axe.run().then((found) => JSON.stringify(found.violations.map((one) => one.id + ": " + one.nodes[0].html)))',
    awaitPromise: true,
  });
  return JSON.parse(result.value);
}

async function picture(page: Page, name: string): Promise<void> {
  if (SCREENSHOTS !== undefined) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });
}

/** 200 jobs, in every state. */
async function jobsInAllStates({ simulator, url }: Awaited<ReturnType<typeof running>>) {
  const jobs = (count: number, outcome: 'Success' | 'Failed', durationMs: number) =>
    Array.from({ length: count }, () => simulator.addJob({ projectId: PROJECT, outcome, durationMs }).jobId);
  const completed = jobs(110, 'Success', 0);
  const failed = jobs(20, 'Failed', 0);
  const polling = jobs(50, 'Success', 600_000);
  const all = [...completed, ...failed, ...polling].map((jobId) => ({
    jobId,
    metadata: { note: '<img src=x onerror="document.title=\'run\'">' },
  }));
  await ask(url, '/v1/jobs', { method: 'POST', headers, body: { jobs: all } });
  await eventually(async () => (await server.redis.events()).length === 130, { what: 'the ends' });
  // The backlog is longer than what is asked about at a time.
  const inBacklog = async () => (await ask(url, '/v1/jobs?state=queued', { headers })).json.jobs.length;
  await eventually(async () => (await inBacklog()) === 0, { what: 'a poll of each job' });
  const raw = start.rawQueue(server.redis);
  const queued = Array.from({ length: 20 }, (_, n) => `queued-${n}`);
  await raw.addBulk(
    queued.map((jobId) => ({
      name: 'raw',
      data: { jobId, projectId: PROJECT },
      opts: { jobId: `${PROJECT}.${jobId}`, delay: 3_600_000 },
    })),
  );
  return { completed, failed, polling, queued };
}

describe('the page', () => {
  withChromium('shows jobs, narrows them down, follows them live and cancels one', async () => {
    const sidecar = await running(['--writable']);
    const { polling, failed } = await jobsInAllStates(sidecar);
    const { page, hosts, errors } = await openPage({ viewport: { width: 1_100, height: 760 } });
    await page.goto(`${sidecar.url}/dashboard`);
    expect(new URL(page.url()).pathname).toBe('/');
    expect(await page.locator('tbody tr').count()).toBe(50);
    expect(await page.locator('tbody .state.queued').count()).toBe(20);
    await page.getByText('Live').waitFor();
    expect(await violations(page)).toEqual([]);
    await picture(page, 'page');

    await page.getByLabel('State').selectOption('failed');
    await page.getByRole('button', { name: 'Filter' }).click();
    await page.waitForURL(/state=failed/);
    expect(await page.locator('tbody tr').count()).toBe(20);
    expect(new Set(await page.locator('tbody .state').allTextContents())).toEqual(new Set(['failed']));
    await page
      .getByRole('search')
      .getByLabel('Job id')
      .fill(failed[3] ?? '');
    await page.keyboard.press('Enter');
    await page.waitForURL(/jobId=[^&]/);
    await page.getByRole('link', { name: failed[3] ?? '' }).waitFor();
    expect(await page.locator('tbody tr').count()).toBe(1);
    await page.getByRole('link', { name: failed[3] ?? '' }).click();
    await page.getByText('"reason": "JOB_FAILED"').waitFor();
    // What a producer has put into its metadata is text.
    expect(await page.locator('main img').count()).toBe(0);
    expect(await page.title()).not.toBe('run');
    expect(await violations(page)).toEqual([]);
    await picture(page, 'page-job');

    // A job that ends is seen to do so, without reloading.
    await page.goto(`${sidecar.url}/?state=polling`);
    await page.getByText('Live').waitFor();
    await page.evaluate('window.sameDocument = true');
    const soon = sidecar.simulator.addJob({ projectId: PROJECT, outcome: 'Success', durationMs: 500 }).jobId;
    await ask(sidecar.url, '/v1/jobs', { method: 'POST', headers, body: { jobId: soon } });
    await page.getByText('1 job has ended since this page was opened').waitFor();

    // By keyboard alone: the job's link to cancel, the confirmation.
    await page.getByRole('link', { name: `Cancel ${polling[0]}` }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('will no longer be watched').waitFor();
    expect(await violations(page)).toEqual([]);
    await page.getByRole('button', { name: 'Cancel the job' }).press('Enter');
    await page.getByText('"reason": "CANCELLED"').waitFor();
    expect((await server.redis.events()).at(-1)).toMatchObject({ id: polling[0], data: { reason: 'CANCELLED' } });
    await page.getByRole('link', { name: 'Watch again' }).click();
    await page.getByRole('button', { name: 'Watch again' }).click();
    await page.waitForURL(/watchId=again-/);

    await page.goto(sidecar.url);
    await page.getByText('Enqueue a job').click();
    const form = page.locator('.enqueue form');
    await form.getByLabel('Job id').fill('from-the-page');
    await form.getByLabel('Metadata').fill('{"a": 1}');
    await form.getByRole('button').click();
    await page.getByRole('button', { name: 'Enqueue' }).click();
    await page.waitForURL(/\/jobs\/.*\/from-the-page$/);
    expect([...hosts]).toEqual([new URL(sidecar.url).host]);
    expect(errors).toEqual([]);
  });

  withChromium('works on a phone, in the dark, and without JavaScript for looking', async () => {
    const memory = new DurationStore({ redis: server.redis.client, queueName: 'cfw-jobs', queuePrefix: '{cfw}' });
    for (let n = 0; n < 120; n += 1) {
      const bin = binOf(20_000 + (n % 30) * 1_000 + (n % 4) * 5_000) as number;
      await memory.learn({ kind: 'ended', bin }, 86_400_000, Date.now() - 3_600_000);
    }
    const sidecar = await running();
    await jobsInAllStates(sidecar);
    const { page, errors } = await openPage({ viewport: { width: 375, height: 700 }, colorScheme: 'dark' });
    for (const path of ['/', '/schedule']) {
      await page.goto(`${sidecar.url}${path}`);
      const width = 'document.documentElement.scrollWidth';
      expect([path, await page.evaluate(width)]).toEqual([path, 375]);
      expect(await violations(page)).toEqual([]);
      await picture(page, `page-phone${path.replace('/', '-').replace(/-$/, '')}`);
    }
    expect(await page.locator('svg .bar').count()).toBeGreaterThan(0);
    expect(errors).toEqual([]);

    const plain = await openPage({ javaScriptEnabled: false });
    await plain.page.goto(sidecar.url);
    await plain.page.getByRole('link', { name: 'Next page' }).click();
    await plain.page.waitForURL(/cursor=/);
    expect(await plain.page.locator('tbody tr').count()).toBe(50);
    await plain.page.locator('tbody a').first().click();
    await plain.page.getByText('Its way').waitFor();
  });

  it('may load its own code only, and only shows unless the start says otherwise', async () => {
    const { url, sidecar } = await running();
    await ask(url, '/v1/jobs', { method: 'POST', headers, body: { jobId: 'j' } });
    for (const path of ['/', '/schedule', `/jobs/${PROJECT}/j`]) {
      const { status, headers: answered, text } = await ask(url, path, { headers });
      expect([path, status]).toEqual([path, 200]);
      expect(answered['content-security-policy']).toContain("default-src 'none'");
      expect(answered['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(text).not.toMatch(/(href|src|action)="(https?:)?\/\/|<script>|style="|onclick/);
      expect(text).not.toMatch(/Cancel|Enqueue a job|method="post"/);
    }
    const form = { ...headers, 'content-type': 'application/x-www-form-urlencoded', origin: url };
    const cancel = (base: string, more: Record<string, string> = {}) =>
      ask(base, `/jobs/${PROJECT}/j/cancel`, { method: 'POST', headers: { ...form, origin: base, ...more }, body: '' });
    expect((await cancel(url)).status).toBe(404);
    expect(await server.redis.events()).toEqual([]);
    await sidecar.kill('SIGTERM');

    const writable = await running(['--dashboard-writable']);
    expect((await cancel(writable.url, { origin: 'https://example.com' })).status).toBe(403);
    expect((await cancel(writable.url, { origin: 'null' })).status).toBe(403);
    const { origin: _, ...silent } = form;
    const path = `/jobs/${PROJECT}/j/cancel`;
    expect((await ask(writable.url, path, { method: 'POST', headers: silent, body: '' })).status).toBe(403);
    expect((await ask(writable.url, path, { method: 'POST', headers: form, body: '' })).status).toBe(403);
    expect((await cancel(writable.url, { 'content-type': 'text/plain' })).status).toBe(415);
    expect((await cancel(writable.url)).status).toBe(303);
    expect(await server.redis.events()).toMatchObject([{ id: 'j', data: { reason: 'CANCELLED' } }]);
  });
});
