import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { CfwJobEventSubscriber, CfwJobWaiter, type DeadLetter } from '../../src/index.js';
import { ACL_OF_CLUSTERS, documentedAcl } from '../support/acl.js';
import { run } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { Flow } from '../support/flow.js';
import { certificates, useRedisServers } from '../support/redis-servers.js';
import { cfwEnvironment, PROJECT, useCleanUp } from '../support/sidecar.js';

const redis = useRedisServers();
const start = useCleanUp();

describe('Redis by TLS', () => {
  it('is used with an authority and a client certificate of its own, and not without', async () => {
    const files = certificates(redis.folder());
    const { ca, serverCert, serverKey, clientCert, clientKey, otherCa } = files;
    const tls = ['--tls-cert-file', serverCert, '--tls-key-file', serverKey, '--tls-ca-cert-file', ca];
    const read = (file: string) => readFileSync(file, 'utf8');
    const server = await redis.server([...tls, '--tls-auth-clients', 'yes'], {
      tls: true,
      connection: { tls: { ca: read(ca), cert: read(clientCert), key: read(clientKey) } },
    });
    const simulator = await start.simulator();
    const env = {
      ...cfwEnvironment(simulator),
      REDIS_URL: `rediss://127.0.0.1:${server.port}`,
      REDIS_TLS_CA_FILE: ca,
      REDIS_TLS_CERT_FILE: clientCert,
      REDIS_TLS_KEY_FILE: clientKey,
    };
    const sidecar = start.command(['start'], env);
    const flow = new Flow(env, simulator);
    start.onEnd(() => flow.stop());
    await flow.end(await flow.enqueue(20, 1_000));
    expect((await sidecar.kill('SIGTERM')).code).toBe(0);

    const { REDIS_TLS_CERT_FILE: _, REDIS_TLS_KEY_FILE: __, ...anonymous } = env;
    for (const wrong of [anonymous, { ...env, REDIS_TLS_CA_FILE: otherCa }]) {
      const { code, stderr } = await run(['status', 'x'], wrong);
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/^cfw-job-poller: Redis at 127\.0\.0\.1:\d+ cannot be used: /),
      ]);
    }
  });
});

describe('users of Redis with the permissions that docs/redis.md lists', () => {
  it('suffice for the sidecar, the producer and the commands, and for a subscriber', async () => {
    const server = await redis.server();
    const admin = server.connect();
    await admin.call('ACL', 'SETUSER', ...documentedAcl('cfw-job-poller', 'one'));
    await admin.call('ACL', 'SETUSER', ...documentedAcl('cfw-subscriber', 'two'));
    const [told] = (await admin.call('COMMAND', 'INFO', 'client|setinfo')) as unknown[];
    if (told !== null) await admin.call('ACL', 'SETUSER', 'cfw-subscriber', '+client|setinfo');
    await admin.call('ACL', 'SETUSER', 'default', 'resetpass', '>admin');
    const simulator = await start.simulator();
    const address = `127.0.0.1:${server.port}`;
    const env = { ...cfwEnvironment(simulator), REDIS_URL: `redis://cfw-job-poller:one@${address}` };
    const sidecar = start.command(['start'], env);
    await sidecar.logged('redis connected');
    const producing = new Flow(env, simulator, 'producers');
    start.onEnd(() => producing.stop());
    const login = { username: 'cfw-subscriber', password: 'two' };
    const handled = new Set<string>();
    const letters: DeadLetter[] = [];
    const subscriber = new CfwJobEventSubscriber({
      redis: server.connect({ ...login, maxRetriesPerRequest: null }),
      ...{ group: 'billing', consumer: 'one', from: 'start', maxDeliveries: 2, retryDelayMs: 10 },
      onDeadLetter: (letter) => letters.push(letter),
      handler: ({ id, data }) => {
        if (data.reason === 'INVALID_REQUEST') throw new Error('what is this');
        handled.add(id);
      },
    });
    start.onEnd(() => subscriber.stop());
    const waiter = new CfwJobWaiter({ redis: server.connect(login) });
    start.onEnd(() => waiter.close());
    try {
      const ids = await producing.enqueue(40, 4_000);
      // Raw producers, twins, invalid data, a restart with jobs in hand: what makes the worker use its other scripts.
      const queue = start.rawQueue({ client: producing.redis } as never);
      await queue.addBulk(ids.map((jobId) => ({ name: 'twin', data: { jobId } })));
      await queue.add('unfit', { jobId: '../x' });
      await eventually(() => handled.size > 5);
      await sidecar.kill('SIGKILL');
      const second = start.command(['start'], env);
      await producing.end(ids);
      await eventually(() => ids.every((id) => handled.has(id)) && letters.length === 1);
      expect((await waiter.waitForJob({ projectId: PROJECT, jobId: ids[0] ?? '' })).id).toBe(ids[0]);
      for (const args of [
        ['enqueue', 'by-hand'],
        ['status', ids[0] ?? ''],
        ['dead', 'list'],
        ['watch', '--from-start', '--until-idle', '1s'],
      ]) {
        const { code, stderr } = await run(args, env);
        expect([args, code, stderr]).toEqual([args, 0, '']);
      }
      expect((await second.kill('SIGTERM')).code).toBe(0);
    } finally {
      // Each line tells which command or key was denied to whom: the ACL in docs/redis.md lacks it.
      const denied = (await admin.call('ACL', 'LOG')) as string[][];
      expect(denied.map((entry) => entry.join(' '))).toEqual([]);
    }
  });
});

describe('a password that is exchanged', () => {
  it('in the file of REDIS_URL is used from the next connection on', async () => {
    const server = await redis.server();
    const admin = server.connect();
    const file = join(redis.folder(), 'redis-url');
    const set = async (password: string) => {
      await admin.call('ACL', 'SETUSER', 'cfw', 'on', 'resetpass', `>${password}`, 'allkeys', 'allcommands');
      writeFileSync(file, `redis://cfw:${encodeURIComponent(password)}@127.0.0.1:${server.port}\n`);
    };
    await set(`first %/@ ${randomBytes(8).toString('hex')}`);
    const simulator = await start.simulator();
    const env = { ...cfwEnvironment(simulator), REDIS_URL_FILE: file };
    const sidecar = start.command(['start'], env);
    const flow = new Flow(env, simulator);
    start.onEnd(() => flow.stop());
    const ids = await flow.enqueue(30, 3_000);
    await eventually(() => flow.handled.size > 3);

    await set(`second ${randomBytes(8).toString('hex')}`);
    // All connections, those that BullMQ has made for itself and those that block, have to log in anew.
    await admin.call('CLIENT', 'KILL', 'USER', 'cfw', 'SKIPME', 'yes');
    await flow.end([...ids, ...(await flow.enqueue(10, 100))]);
    expect(sidecar.log.some(({ msg }) => msg === 'redis connection restored')).toBe(true);
    expect((await sidecar.kill('SIGTERM')).code).toBe(0);
  });

  it('of a restricted user of a Cluster is used by the connections to all nodes', async () => {
    const { nodes, addresses } = await redis.cluster('of-the-nodes');
    const file = join(redis.folder(), 'redis-password');
    const admins = nodes.map((node) => node.connect());
    const [name, ...permissions] = documentedAcl('cfw-job-poller', 'x').filter((word) => !word.startsWith('>'));
    const set = async (password: string) => {
      const rules = [name ?? '', 'resetpass', `>${password}`, ...permissions, ...ACL_OF_CLUSTERS];
      await Promise.all(admins.map((admin) => admin.call('ACL', 'SETUSER', ...rules)));
      writeFileSync(file, password);
    };
    await set('first');
    const simulator = await start.simulator();
    const env = {
      ...cfwEnvironment(simulator),
      REDIS_CLUSTER: addresses,
      REDIS_USERNAME: 'cfw-job-poller',
      REDIS_PASSWORD_FILE: file,
    };
    const sidecar = start.command(['start'], env);
    const flow = new Flow(env, simulator);
    start.onEnd(() => flow.stop());
    try {
      const ids = await flow.enqueue(30, 3_000);
      await eventually(() => flow.handled.size > 3);
      await set('second');
      await Promise.all(admins.map((admin) => admin.call('CLIENT', 'KILL', 'USER', 'cfw-job-poller')));
      await flow.end([...ids, ...(await flow.enqueue(10, 100))]);
      expect((await sidecar.kill('SIGTERM')).code).toBe(0);
    } finally {
      const denied = await Promise.all(admins.map((admin) => admin.call('ACL', 'LOG') as Promise<string[][]>));
      expect(denied.flat().map((entry) => entry.join(' '))).toEqual([]);
    }
  });
});
