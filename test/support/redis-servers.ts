import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach } from '@jest/globals';
import { Redis } from 'ioredis';
import { freePort } from '../../src/demo/private-redis.js';
import { eventually } from './eventually.js';
import { endAll } from './steps.js';

/** A redis-server as a process of its own, with the settings that a test asks for. */
export interface RedisServer {
  readonly port: number;
  readonly process: ChildProcess;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** A connection, closed at the end of the test. */
  connect(options?: object): Redis;
}

/** Durable, and quick to find that a replica or a node is away. */
const SETTINGS = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--appendfsync', 'always'];
const SPEED = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];

/** Starts Redis servers, alone or together, and ends them after each test. */
export function useRedisServers() {
  const steps: (() => unknown)[] = [];
  afterEach(() => endAll(steps));

  const folder = (): string => {
    const path = mkdtempSync(join(tmpdir(), 'cfw-job-poller-test-'));
    steps.push(() => rmSync(path, { recursive: true, force: true }));
    return path;
  };

  const server = async (
    args: readonly string[] = [],
    { tls = false, connection = {}, port: given = 0 }: { tls?: boolean; connection?: object; port?: number } = {},
  ): Promise<RedisServer> => {
    const dir = folder();
    const port = given || (await freePort());
    const ports = tls ? ['--port', '0', '--tls-port', `${port}`] : ['--port', `${port}`];
    const child = spawn('redis-server', [...ports, '--dir', dir, ...SETTINGS, ...SPEED, ...args], { stdio: 'ignore' });
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const kill = async () => {
      child.kill('SIGKILL');
      await exited;
    };
    steps.push(kill);
    const connect = (options = {}) => {
      const redis = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 100, ...connection, ...options });
      redis.on('error', () => {});
      steps.push(() => redis.disconnect());
      return redis;
    };
    const probe = connect();
    await eventually(async () => (await probe.ping()) === 'PONG', { what: `redis-server on port ${port}` });
    probe.disconnect();
    return { port, process: child, kill, connect };
  };

  /** A master and two replicas, watched by three Sentinels under the name "cfw". */
  const sentinels = async (password: string) => {
    const secret = ['--requirepass', password, '--masterauth', password];
    const connection = { password };
    const master = await server(secret, { connection });
    const of = ['--replicaof', `127.0.0.1 ${master.port}`];
    const replicas = await Promise.all([1, 2].map(() => server([...secret, ...of], { connection })));
    const ports: number[] = [];
    for (let n = 0; n < 3; n += 1) {
      const port = await freePort();
      const file = join(folder(), 'sentinel.conf');
      const lines = [
        `monitor cfw 127.0.0.1 ${master.port} 2`,
        `auth-pass cfw ${password}`,
        'down-after-milliseconds cfw 1000',
        'failover-timeout cfw 5000',
        'parallel-syncs cfw 2',
      ];
      writeFileSync(file, `port ${port}\nbind 127.0.0.1\n${lines.map((line) => `sentinel ${line}\n`).join('')}`);
      const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
      steps.push(() => child.kill('SIGKILL'));
      ports.push(port);
    }
    const sentinel = new Redis({ port: ports[0] as number, retryStrategy: () => 100 });
    sentinel.on('error', () => {});
    steps.push(() => sentinel.disconnect());
    // Not before each knows of the others and of the replicas can they agree on a failover.
    await eventually(
      async () => {
        const state = (await sentinel.call('SENTINEL', 'MASTER', 'cfw')) as string[];
        const told = (name: string) => state[state.indexOf(name) + 1];
        return told('num-other-sentinels') === '2' && told('num-slaves') === '2' && told('flags') === 'master';
      },
      { timeoutMs: 60_000, everyMs: 200, what: 'three Sentinels that know of one another' },
    );
    return { master, replicas, addresses: ports.map((port) => `127.0.0.1:${port}`).join(',') };
  };

  /** Three masters, each with a replica. */
  const cluster = async (password: string) => {
    const secret = ['--requirepass', password, '--masterauth', password];
    const settings = [
      '--cluster-enabled',
      'yes',
      '--cluster-node-timeout',
      '2000',
      '--cluster-replica-validity-factor',
      '0',
    ];
    const nodes: RedisServer[] = [];
    for (let n = 0; n < 6; n += 1) {
      nodes.push(await server([...secret, ...settings], { connection: { password }, port: await clusterPort() }));
    }
    const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
    const create = ['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes'];
    await promisify(execFile)('redis-cli', ['-a', password, '--no-auth-warning', ...create]);
    const [first] = nodes;
    const view = (first as RedisServer).connect();
    await eventually(
      async () => {
        const info = (await view.call('CLUSTER', 'INFO')) as string;
        const replicas = ((await view.call('CLUSTER', 'NODES')) as string)
          .split('\n')
          .filter((line) => / slave /.test(line));
        return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:6') && replicas.length === 3;
      },
      { timeoutMs: 60_000, everyMs: 200, what: 'a cluster of six' },
    );
    /** The server that is the master of a key just now. */
    const masterOf = async (key: string): Promise<RedisServer> => {
      const alive = nodes.find(
        ({ process }) => process.exitCode === null && process.signalCode === null,
      ) as RedisServer;
      const redis = alive.connect();
      const slot = (await redis.call('CLUSTER', 'KEYSLOT', key)) as number;
      const slots = (await redis.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
      const port = slots.find(([from, to]) => slot >= from && slot <= to)?.[2][1];
      return nodes.find((node) => node.port === port) as RedisServer;
    };
    return { nodes, addresses: addresses.join(','), masterOf };
  };

  return { folder, server, sentinels, cluster };
}

/** An authority, a certificate for a server on 127.0.0.1 and one for a client, as files. */
export function certificates(folder: string) {
  mkdirSync(folder, { recursive: true });
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = (name: string) =>
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    );
  authority('ca');
  authority('other-ca');
  writeFileSync(file('san'), 'subjectAltName=IP:127.0.0.1,DNS:localhost');
  for (const name of ['server', 'client']) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'san'];
    openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.crt`);
  }
  return {
    ca: file('ca.crt'),
    otherCa: file('other-ca.crt'),
    serverCert: file('server.crt'),
    serverKey: file('server.key'),
    clientCert: file('client.crt'),
    clientKey: file('client.key'),
  };
}

/** The nodes of a cluster talk to one another on a second port, 10000 higher, which must be free, too. */
async function clusterPort(): Promise<number> {
  for (;;) {
    const port = await freePort();
    if (port < 22_000) return port;
  }
}
