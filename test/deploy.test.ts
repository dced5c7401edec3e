import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../src/config/index.js';
import { ask } from './support/ask.js';
import { eventually } from './support/eventually.js';
import { STREAM, useRedis } from './support/redis.js';
import { environment, useCleanUp } from './support/sidecar.js';

const DEPLOY = fileURLToPath(new URL('../deploy/', import.meta.url));
const read = (path: string) => readFile(join(DEPLOY, path), 'utf8');
const server = useRedis();
const start = useCleanUp();

describe('deploy/kubernetes', () => {
  // biome-ignore lint/suspicious/noExplicitAny: manifests, as their schemas have them.
  type Manifest = any;
  const require = createRequire(import.meta.url);
  const manifests = async (): Promise<[string, Manifest][]> => {
    const files = await readdir(join(DEPLOY, 'kubernetes'));
    const all = await Promise.all(
      files.map(async (file) =>
        parseAllDocuments(await read(`kubernetes/${file}`)).map((document) => [file, document.toJS()]),
      ),
    );
    return all.flat() as [string, Manifest][];
  };
  const containers = async (): Promise<Manifest[]> =>
    (await manifests())
      .filter(([, { kind }]) => kind === 'Deployment')
      .flatMap(([, { spec }]) => [...(spec.template.spec.initContainers ?? []), ...spec.template.spec.containers]);

  it('fits the schemas of Kubernetes and KEDA', async () => {
    for (const [file, manifest] of await manifests()) {
      const { apiVersion, kind } = manifest;
      const models = apiVersion.startsWith('keda.sh/') ? '@kubernetes-models/keda' : 'kubernetes-models';
      const { [kind]: Model } = require(`${models}/${apiVersion}/${kind}`);
      expect(() => new Model(manifest).validate()).not.toThrow();
      const wrong =
        kind === 'ServiceAccount'
          ? { automountServiceAccountToken: 7 }
          : { spec: { ...manifest.spec, selector: 7, triggers: 7, secretTargetRef: 7 } };
      expect(() => new Model({ ...manifest, ...wrong }).validate()).toThrow();
      expect([file, manifest.metadata.name]).toEqual([file, expect.any(String)]);
    }
  });

  it('gives every container what hardening it needs', async () => {
    for (const { securityContext, resources } of await containers()) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(resources.limits.memory).toMatch(/Mi$/);
    }
  });

  it('names variables that make a sound configuration, and secrets by files only', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cfw-job-poller-deploy-'));
    start.onEnd(() => rm(folder, { recursive: true }));
    const secrets = { REDIS_URL: 'redis://:p@redis:6379', HTTP_TOKEN: 'sixteen-characters' };
    const pollers = (await containers()).filter(({ name }) => name === 'cfw-job-poller');
    expect(pollers).toHaveLength(4);
    // What CCE sets in the pods.
    const token = join(folder, 'pod-token');
    await writeFile(token, 'a-token');
    const byCce = {
      HC_CONTAINER_CREDENTIALS_FULL_URI: 'http://169.254.1.1/credentials',
      HC_CONTAINER_AUTHORIZATION_TOKEN_FILE: token,
    };
    const kinds: string[] = [];
    for (const { env, volumeMounts, livenessProbe } of pollers) {
      const values: Record<string, string> = {};
      for (const { name, value } of env as { name: string; value: string }[]) {
        if (!name.endsWith('_FILE')) {
          values[name] = value;
          continue;
        }
        expect(value.startsWith(`${volumeMounts[0].mountPath}/`)).toBe(true);
        const key = basename(value);
        expect(`${key}_FILE`).toBe(name);
        values[name] = join(folder, key);
        await writeFile(values[name] ?? '', secrets[key as 'REDIS_URL'] ?? 'a-key');
      }
      const config = loadConfig(values.CFW_CREDENTIALS === 'pod-identity' ? { ...values, ...byCce } : values);
      expect(config).toMatchObject({ http: { host: '0.0.0.0', port: 8080 } });
      kinds.push(config.credentials.kind);
      expect(livenessProbe.httpGet.path).toBe('/healthz');
    }
    expect(kinds.sort()).toEqual(['aksk', 'aksk', 'ecs-agency', 'pod-identity']);
  });
});

describe('deploy/prometheus and deploy/grafana', () => {
  const promtool = spawnSync('promtool', ['--version']).status === 0;
  (promtool ? it : it.skip)('alerts are sound', () => {
    const { status, stderr } = spawnSync('promtool', ['check', 'rules', join(DEPLOY, 'prometheus/alerts.yml')], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, '']);
  });

  it('ask for metrics and labels that there are', async () => {
    const simulator = await start.simulator();
    const { url } = await start.sidecar(environment(server.redis, simulator));
    await server.redis.client.xgroup('CREATE', STREAM, 'billing', '0', 'MKSTREAM');
    const names = await eventually(async () => {
      const { text } = await ask(url, '/metrics');
      // What is not known yet, such as what the learned schedule expects, has no series.
      const found = new Set([...text.matchAll(/^(?:# TYPE )?(\w+)[{ ]/gm)].map(([, name]) => name));
      return found.has('cfw_job_poller_stream_group_lag_entries') && found;
    });
    const { text } = await ask(url, '/metrics');
    const asked = (await read('prometheus/alerts.yml')) + (await read('grafana/dashboard.json')).replaceAll('\\"', '"');
    const metrics = new Set(asked.match(/\b(cfw_job_poller|nodejs|process)_\w+/g));
    expect(metrics.size).toBeGreaterThan(15);
    for (const metric of metrics) expect([...names]).toContain(metric);
    for (const [, label, value] of asked.matchAll(/\b(outcome|reason|state|check|published)=~?"([^"$]+)"/g)) {
      for (const one of value?.split('|') ?? []) expect(text).toContain(`${label}="${one}"`);
    }
  });

  it('each alert is in the runbook, and says what it is about', async () => {
    const [document] = parseAllDocuments(await read('prometheus/alerts.yml'));
    const runbook = await readFile(fileURLToPath(new URL('../docs/operations.md', import.meta.url)), 'utf8');
    const { rules } = (document as NonNullable<typeof document>).toJS().groups[0];
    for (const { alert, annotations } of rules) {
      expect(runbook).toContain(`### ${alert}`);
      expect(annotations).toEqual({ summary: expect.any(String), description: expect.any(String) });
    }
  });

  it('the dashboard is JSON whose panels do not overlap', async () => {
    const { panels } = JSON.parse(await read('grafana/dashboard.json'));
    expect(new Set(panels.map(({ id }: { id: number }) => id)).size).toBe(panels.length);
    const cells = new Set<string>();
    for (const { gridPos } of panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(cells).not.toContain(`${x},${y}`);
          cells.add(`${x},${y}`);
        }
      }
    }
  });
});
