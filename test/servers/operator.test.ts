import { describe, expect, it } from '@jest/globals';
import { binOf, DurationStore } from '../../src/schedule/index.js';
import { ACL_OF_CLUSTERS, documentedAcl } from '../support/acl.js';
import { ask } from '../support/ask.js';
import { eventually } from '../support/eventually.js';
import { Flow } from '../support/flow.js';
import { useRedisServers } from '../support/redis-servers.js';
import { cfwEnvironment, PROJECT, useCleanUp } from '../support/sidecar.js';

const redis = useRedisServers();
const start = useCleanUp();
const USER = 'cfw-job-poller';

/** Starts a sidecar and looks at all that an operator has to look at. */
async function operate(toRedis: Record<string, string>): Promise<void> {
  const simulator = await start.simulator();
  const env = { ...cfwEnvironment(simulator), ...toRedis };
  const flow = new Flow(env, simulator, 'billing');
  start.onEnd(() => flow.stop());
  // So that there is something to tell of the learned schedule.
  const memory = new DurationStore({ redis: flow.redis, queueName: 'cfw-jobs', queuePrefix: '{cfw}' });
  for (let n = 0; n < 60; n += 1) {
    const observation = { kind: 'ended', bin: binOf(60_000 + n * 1_000) as number } as const;
    await memory.learn(observation, 86_400_000, Date.now() - 3_600_000);
  }
  const sidecar = start.command(['start', '--writable'], env);
  const url = String((await sidecar.logged('sidecar started')).url);
  await eventually(async () => (await ask(url, '/readyz')).status === 200, { what: 'a ready sidecar' });
  await flow.end(await flow.enqueue(5, 500));
  const { jobId } = simulator.addJob({
    projectId: PROJECT,
    durationMs: 600_000,
    // Parked after its first poll, since CFW asks for a long wait.
    faults: [{ fault: 'error', httpStatus: 500, code: 'CFW.00500002', retryAfter: '120', times: 100 }],
  });
  expect((await ask(url, '/v1/jobs', { method: 'POST', body: { jobId } })).status).toBe(202);

  const text = await eventually(
    async () => {
      const { text: scraped } = await ask(url, '/metrics');
      const gauges = [...scraped.matchAll(/^# TYPE (cfw_job_poller_\w+) gauge$/gm)].map(([, name]) => name);
      expect(gauges.length).toBeGreaterThan(15);
      expect(gauges.filter((name) => !new RegExp(`^${name}(\\{.*\\})? -?[\\d.e+-]+$`, 'm').test(scraped))).toEqual([]);
      return scraped.includes('cfw_job_poller_jobs{state="delayed"} 1') && scraped;
    },
    { what: 'that all gauges have values' },
  );
  for (const series of [
    'check_ok{check="redis"} 1',
    'jobs{state="completed"} 5',
    'stream_entries 5',
    'stream_group_lag_entries{group="billing"} 0',
    'schedule_learned 1',
  ]) {
    expect(text).toContain(`cfw_job_poller_${series}\n`);
  }

  const listed = await ask(url, '/v1/jobs?limit=10');
  expect(listed.json.jobs).toHaveLength(6);
  expect(listed.json.jobs[0]).toMatchObject({ jobId, state: 'polling', lastError: { code: 'CFW.00500002' } });
  for (const path of ['/', '/?state=failed', '/schedule', `/jobs/${PROJECT}/${jobId}`]) {
    expect([path, (await ask(url, path)).status]).toEqual([path, 200]);
  }
  const events = await fetch(`${url}/v1/events?from=start`);
  const { value } = (await events.body?.getReader().read()) ?? {};
  expect(Buffer.from(value ?? []).toString()).toContain('retry:');
  const waiting = ask(url, `/v1/jobs/${PROJECT}/${jobId}`, { headers: { prefer: 'wait=30' } });
  const cancelled = await ask(url, `/v1/jobs/${PROJECT}/${jobId}`, { method: 'DELETE' });
  expect(cancelled.json).toMatchObject({ state: 'failed', event: { data: { reason: 'CANCELLED' } } });
  expect((await waiting).json).toEqual(cancelled.json);
  expect((await sidecar.kill('SIGTERM')).code).toBe(0);
}

describe('metrics and the page', () => {
  it('are all there for the user that docs/redis.md describes', async () => {
    const server = await redis.server();
    const admin = server.connect();
    await admin.call('ACL', 'SETUSER', ...documentedAcl(USER, 'one'));
    try {
      await operate({ REDIS_URL: `redis://${USER}:one@127.0.0.1:${server.port}` });
    } finally {
      const denied = (await admin.call('ACL', 'LOG')) as string[][];
      expect(denied.map((entry) => entry.join(' '))).toEqual([]);
    }
  });

  it('are all there in a Cluster, for such a user', async () => {
    const { nodes, addresses } = await redis.cluster('of-the-nodes');
    const admins = nodes.map((node) => node.connect());
    const rules = [...documentedAcl(USER, 'one'), ...ACL_OF_CLUSTERS];
    await Promise.all(admins.map((admin) => admin.call('ACL', 'SETUSER', ...rules)));
    try {
      await operate({ REDIS_CLUSTER: addresses, REDIS_USERNAME: USER, REDIS_PASSWORD: 'one' });
    } finally {
      const denied = await Promise.all(admins.map((admin) => admin.call('ACL', 'LOG') as Promise<string[][]>));
      expect(denied.flat().map((entry) => entry.join(' '))).toEqual([]);
    }
  });
});
