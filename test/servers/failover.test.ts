import { once } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { Cluster } from 'ioredis';
import { isCluster } from '../../src/redis/client.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { eventually } from '../support/eventually.js';
import { Flow } from '../support/flow.js';
import { useRedisServers } from '../support/redis-servers.js';
import { cfwEnvironment, useCleanUp } from '../support/sidecar.js';

const redis = useRedisServers();
const start = useCleanUp();
const PASSWORD = 'a password with @ and %';

/** Lets a master die while jobs are on their way, and sees to it that each has its event all the same. */
async function outlives(env: Record<string, string>, flow: Flow, fail: () => Promise<void>): Promise<void> {
  const sidecar = start.command(['start'], env);
  await sidecar.logged('redis connected');
  const followed = follow(String((await sidecar.logged('sidecar started')).url));
  const ids = await flow.enqueue(300, 12_000);
  // What Redis has acknowledged as replicated is what it promises to keep.
  const { redis: client } = flow;
  const master = isCluster(client) ? client.nodes('master') : [client];
  await Promise.all(master.map((node) => node.call('WAIT', 1, 10_000)));
  await eventually(() => flow.handled.size > 20, { timeoutMs: 60_000 });
  await fail();
  const more = flow.enqueue(50, 3_000);
  await flow.end([...ids, ...(await more)], 120_000);
  // The same watch of the same job has one event: replication keeps the order, so the memory goes with the entry.
  const published = await flow.published();
  expect(published).toHaveLength(350);
  expect(new Set(published).size).toBe(350);
  // A browser that follows the events has seen each, and no entry twice.
  await eventually(() => new Set(followed().jobs).size >= 350, { what: 'each event at a reader of /v1/events' });
  const { ids: entries } = followed();
  expect(new Set(entries).size).toBe(entries.length);
  expect((await sidecar.kill('SIGTERM')).code).toBe(0);
}

/** Reads server-sent events, and goes on behind the last one when the connection ends, as a browser does. */
function follow(url: string): () => { readonly ids: readonly string[]; readonly jobs: readonly string[] } {
  const readers = [new EventStreamReader(url, '?from=start')];
  const all = () => ({ ids: readers.flatMap(({ ids }) => ids), jobs: readers.flatMap(({ jobs }) => jobs) });
  const timer = setInterval(() => {
    if (readers.at(-1)?.ended === true) readers.push(new EventStreamReader(url, '?from=start', all().ids.at(-1)));
  }, 200);
  start.onEnd(() => {
    clearInterval(timer);
    for (const reader of readers) reader.leave();
  });
  return all;
}

describe('a failover in mid-flight', () => {
  it('of Sentinel loses nothing', async () => {
    const { master, addresses } = await redis.sentinels('sentinel-password');
    const simulator = await start.simulator();
    const env = {
      ...cfwEnvironment(simulator),
      REDIS_SENTINELS: addresses,
      REDIS_SENTINEL_NAME: 'cfw',
      REDIS_PASSWORD: 'sentinel-password',
    };
    const flow = new Flow(env, simulator);
    start.onEnd(() => flow.stop());
    await outlives(env, flow, () => master.kill());
  });

  it('of a Cluster with three masters loses nothing', async () => {
    const { masterOf, addresses } = await redis.cluster(PASSWORD);
    const simulator = await start.simulator();
    const env = { ...cfwEnvironment(simulator), REDIS_CLUSTER: addresses, REDIS_PASSWORD: PASSWORD };
    const flow = new Flow(env, simulator);
    start.onEnd(() => flow.stop());
    await outlives(env, flow, async () => (await masterOf('{cfw}')).kill());
  });
});

describe('a Cluster', () => {
  it('is written to at its masters only, also when the connections to them have broken', async () => {
    const { addresses } = await redis.cluster(PASSWORD);
    const simulator = await start.simulator();
    const flow = new Flow(
      { ...cfwEnvironment(simulator), REDIS_CLUSTER: addresses, REDIS_PASSWORD: PASSWORD },
      simulator,
    );
    start.onEnd(() => flow.stop());
    const cluster = flow.redis as Cluster;
    const write = async () => await cluster.eval("return redis.call('INCR', KEYS[1])", 1, '{cfw}:count');
    await write();
    // Which replica is asked instead is chosen at random.
    for (let times = 2; times < 30; times += 1) {
      const masters = cluster.nodes('master');
      const ended = masters.map((node) => once(node, 'end'));
      for (const node of masters) node.disconnect();
      await Promise.all(ended);
      expect(await write()).toBe(times);
    }
  });
});
