import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Command, run } from '../support/command.js';
import { eventually } from '../support/eventually.js';

describe('the demo', () => {
  it('creates twenty firewalls, tells each end once, and says that all is right', async () => {
    const keep = new Command(['demo', '--keep']);
    const { code, stdout, stderr } = await run(['demo']);
    expect(stderr).toBe('');
    expect(stdout).toContain('each job ended in exactly one right event');
    expect(stdout).toMatch(/^events +20 for 20 jobs: \d+ completed, [1-9]\d* failed$/m);
    expect(stdout).not.toContain('\u001b');
    expect(code).toBe(0);
    // The same with --keep: it can still be looked at, until Ctrl-C.
    await eventually(() => keep.stdout.includes('until Ctrl-C'), { what: 'the end of its jobs' });
    const [, page = ''] = /in a browser: (\S+)/.exec(keep.stdout) ?? [];
    expect(await (await fetch(page)).text()).toContain('>JOB_FAILED</td>');
    keep.process.kill('SIGINT');
    expect(await keep.exited).toEqual({ code: 0, signal: null });
  });

  it.each<readonly [string, (demo: Command) => unknown]>([
    ['after Ctrl-C', (demo) => demo.process.kill('SIGINT')],
    [
      'after Ctrl-C twice',
      async (demo) => {
        demo.process.kill('SIGINT');
        await sleep(10);
        demo.process.kill('SIGINT');
      },
    ],
    ['when who reads it has left', (demo) => demo.process.stdout?.destroy()],
  ])('is gone without a trace %s, and does not claim success', async (_when, end) => {
    const folder = await mkdtemp(join(tmpdir(), 'cfw-job-poller-test-'));
    const demo = new Command(['demo'], { TMPDIR: folder });
    await eventually(() => /\d{4}-\d\d-\d\dT/.test(demo.stdout), { what: 'an event' });
    const port = /redis 127\.0\.0\.1:(\d+)/.exec(demo.stdout)?.[1];
    expect(port).toBeDefined();
    await end(demo);
    expect(await demo.exited).toEqual({ code: 1, signal: null });
    expect(demo.stdout).not.toContain('each job ended');
    expect(demo.stderr).toBe('');
    await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
    expect(await readdir(folder)).toEqual([]);
    await rm(folder, { recursive: true });
  });
});
