import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { fromEntry } from '../../src/events/index.js';
import { CLI, run } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
beforeEach(async () => {
  await server.redis.client.flushall();
});

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The text of the first code block under a heading. */
function block(heading: string, language: string): string {
  const [, section = ''] = readme.split(`\n## ${heading}\n`);
  const [, text] = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'ms').exec(section) ?? [];
  if (text === undefined) throw new Error(`README.md has no ${language} block under "${heading}"`);
  return text;
}

/** A project that has this package installed. */
const project = mkdtempSync(join(tmpdir(), 'readme-'));
mkdirSync(join(project, 'node_modules/@types'), { recursive: true });
symlinkSync(root, join(project, 'node_modules/cfw-job-poller'));
for (const name of ['ioredis', '@types/node']) {
  symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name));
}
afterAll(() => rmSync(project, { recursive: true, force: true }));

/** A process whose output is collected; it is ended with the test. */
function launch(program: string, args: readonly string[], env: Record<string, string>) {
  const child = spawn(program, args, { cwd: project, env: { PATH: process.env.PATH ?? '', ...env }, detached: true });
  const output = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output.text += text;
    });
  }
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  start.onEnd(async () => {
    try {
      process.kill(-(child.pid as number), 'SIGKILL');
    } catch {
      // It has ended.
    }
    await exited;
  });
  return { child, output, exited };
}

describe('documents', () => {
  const documents = [
    ...readdirSync(root).filter((name) => name.endsWith('.md')),
    ...readdirSync(join(root, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
  ];

  it.each(documents)('%s links to what exists', (document) => {
    const text = readFileSync(join(root, document), 'utf8');
    for (const [, path = '', anchor] of text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)/g)) {
      const file = path === '' ? document : join(dirname(document), path);
      const target = readFileSync(join(root, file), 'utf8');
      const anchors = [...target.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
          .replaceAll(' ', '-'),
      );
      if (anchor !== undefined) expect(anchors).toContain(anchor);
    }
  });
});

describe('docs/architecture.md', () => {
  const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const files = (part: string) =>
    [...part.matchAll(/`((?:[a-z-]+\/)*[a-z-]+\.(?:ts|lua))`/g)].map(([, file = '']) => file);

  it('names files that exist', () => {
    const named = files(text).filter((file) => file.includes('/'));
    expect(named.filter((file) => !existsSync(join(root, 'src', file)))).toEqual([]);
  });

  it('shows four ways that do not come back, the first of at most 20 files', () => {
    const [, section = ''] = text.split('\n## Four ways through the code\n');
    const ways = (section.split('\n## ')[0] ?? '').split(/^\*\*/m).slice(1).map(files);
    expect(ways).toHaveLength(4);
    for (const way of ways) expect(new Set(way).size).toBe(way.length);
    expect(ways[0]?.length).toBeLessThanOrEqual(20);
  });
});

describe('README.md', () => {
  it('is at most 220 lines long', () => {
    expect(readme.split('\n').length).toBeLessThanOrEqual(220);
  });

  it('shows an event as it is published', () => {
    const { data, ...attributes } = JSON.parse(block('The event', 'json'));
    const event = { ...attributes, data: JSON.stringify(data) };
    expect(fromEntry('1-0', Object.entries(event).flat() as string[])).toEqual({ ...attributes, data });
  });
});

describe('the example in TypeScript', () => {
  const source = block('From TypeScript', 'ts');

  it('compiles', () => {
    writeFileSync(join(project, 'service.ts'), source);
    const compilerOptions = {
      ...{ module: 'nodenext', target: 'es2023', types: ['node'] },
      ...{ strict: true, noEmit: true, skipLibCheck: true },
    };
    writeFileSync(join(project, 'package.json'), JSON.stringify({ type: 'module' }));
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['service.ts'] }));
    execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], { stdio: 'pipe' });
  });

  it('hands in a job, is told which firewall is ready, and stops', async () => {
    const simulator = await start.simulator();
    await start.sidecar(environment(server.redis, simulator));
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0 });
    // It has no types of its own, so Node runs it as it is.
    writeFileSync(join(project, 'service.mjs'), source);
    const service = launch(process.execPath, ['service.mjs', jobId], { REDIS_URL: server.redis.url });
    await eventually(() => service.output.text.includes(`firewall ${jobId} is ready { orderId: '42' }`), {
      what: 'the event',
    });
    service.child.kill('SIGTERM');
    expect(await service.exited).toBe(0);
    const [consumer] = (await server.redis.client.xinfo('CONSUMERS', '{cfw}:events', 'billing')) as unknown[][];
    expect(consumer).toContain(hostname());
  });
});

describe('the quick start', () => {
  it('runs at the simulator, line by line', async () => {
    const simulator = await start.simulator();
    const { jobId } = simulator.addJob({ projectId: PROJECT, durationMs: 0 });
    const needsMore = /^(npm|docker|export) /;
    const lines = block('Quick start', 'sh')
      .trim()
      .split('\n')
      .filter((line) => !needsMore.test(line))
      .map((line) => line.replaceAll('dist/cli.js', CLI).replaceAll(/\b[0-9a-f]{8}(-[0-9a-f]+){4}\b/g, jobId))
      .map((line) => line.replace(/watch --from-start/, 'watch --from-start --until-idle 6s'));
    const script = `set -e\n${lines.join('\n')}\nkill $!\nwait $!\n`;
    const shell = launch('sh', ['-c', script], environment(server.redis, simulator));
    expect(await shell.exited).toBe(0);
    expect(shell.output.text).toMatch(new RegExp(`^.*cfw\\.job\\.completed.*${jobId}|${jobId}.*completed`, 'm'));
  });
});

describe('the table of commands', () => {
  it('has each command', async () => {
    const { stdout } = await run(['--help']);
    const [, commands = ''] = stdout.split('Commands:');
    const [, table = ''] = readme.split('\n## Commands\n');
    for (const [, name] of commands.matchAll(/^ {2}([a-z]+)\b/gm)) {
      if (name !== 'help') expect(table.split('\n## ')[0]).toMatch(new RegExp(`^\\| .*\`${name}\\b`, 'm'));
    }
  });
});
