import { beforeEach, describe, expect, it } from '@jest/globals';
import { binOf, DurationStore, sum } from '../../src/schedule/index.js';
import { run } from '../support/command.js';
import { eventually } from '../support/eventually.js';
import { useRedis } from '../support/redis.js';
import { environment, PROJECT, useCleanUp } from '../support/sidecar.js';

const server = useRedis();
const start = useCleanUp();
const HOUR_MS = 3_600_000;

beforeEach(async () => {
  await server.redis.client.flushall();
});

const memory = () => new DurationStore({ redis: server.redis.client, queueName: 'cfw-jobs', queuePrefix: '{cfw}' });
const base = () => ({ REDIS_URL: server.redis.url });

/** As if jobs had been watched for an hour that all took about so long. */
async function teach(seconds: number, count = 60): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const bin = binOf(seconds * 1_000 * (0.9 + (0.2 * n) / count)) ?? 0;
    await memory().learn({ kind: 'ended', bin }, HOUR_MS, Date.now() - HOUR_MS);
  }
}

describe('the sidecar', () => {
  it('learns how long each job took, once for each, failures included', async () => {
    const simulator = await start.simulator();
    // Found running by their first polls, however late these come.
    const running = { projectId: PROJECT, durationMs: 0, faults: [{ fault: 'status' as const, status: 'Running' }] };
    const jobs = [
      simulator.addJob({ ...running, outcome: 'Success' }),
      simulator.addJob({ ...running, outcome: 'Failed' }),
      // Over before it was enqueued: teaches nothing.
      simulator.addJob({ ...running, faults: [] }),
    ];
    // Given up while it runs. The others have time to be polled twice, however slow the machine is.
    const givenUp = simulator.addJob({ ...running, durationMs: HOUR_MS });
    await start.sidecar(environment(server.redis, simulator));
    const queue = start.rawQueue(server.redis);
    for (const { jobId } of jobs) await queue.add('x', { jobId });
    await queue.add('x', { jobId: givenUp.jobId, timeoutMs: 5_000 });
    await queue.add('twin', { jobId: jobs[0]?.jobId });
    await eventually(async () => (await server.redis.events()).length === 4, { what: 'four events' });
    const { durations } = await eventually(
      async () => {
        const known = await memory().read();
        return sum(known.durations.ended) >= 2 && sum(known.durations.givenUp) >= 1 && known;
      },
      { what: 'three lessons' },
    );
    expect(sum(durations.ended)).toBe(2);
    expect(sum(durations.givenUp)).toBe(1);
  });

  it('polls when jobs like those before are likely to end, and not before', async () => {
    await teach(6);
    const simulator = await start.simulator();
    const { jobId, callTimes } = simulator.addJob({ projectId: PROJECT, durationMs: 6_000, outcome: 'Success' });
    const log: string[] = [];
    await start.sidecar(environment(server.redis, simulator), log);
    await eventually(() => log.some((line) => line.includes('polls follow the learned schedule')));
    await start.rawQueue(server.redis).add('x', { jobId });
    await eventually(async () => (await server.redis.events()).length === 1, { what: 'the event' });
    // The backoff of these tests polls twice in the first half second, and at least twice a second later on. The first poll may
    // come late on a slow machine; the second one waits for the likely end all the same.
    const [first = 0, second = 0] = callTimes;
    expect(second - first).toBeGreaterThan(1_000);
  });

  it('does neither with POLL_SCHEDULE=exponential', async () => {
    // Whoever believed this would ask a second time after most of a minute.
    await teach(60);
    const before = await memory().read();
    const simulator = await start.simulator();
    const { jobId, callTimes } = simulator.addJob({ projectId: PROJECT, durationMs: 6_000, outcome: 'Success' });
    await start.sidecar({ ...environment(server.redis, simulator), POLL_SCHEDULE: 'exponential' });
    await start.rawQueue(server.redis).add('x', { jobId });
    await eventually(async () => (await server.redis.events()).length === 1, { what: 'the event' });
    expect(callTimes.length).toBeGreaterThan(2);
    expect((await memory().read()).durations).toEqual(before.durations);
  });
});

describe('the command schedule', () => {
  it('shows what is known and what is missing, and forgets it', async () => {
    const nothing = await run(['schedule', 'show'], base());
    expect(nothing).toMatchObject({ code: 0, stderr: '' });
    expect(nothing.stdout).toMatch(/^schedule +exponential backoff, until enough is known: 0 of 30 jobs have ended$/m);

    await teach(180);
    const show = await run(['schedule', 'show'], base());
    expect(show.stdout).toMatch(/^jobs +60 .*half ended within 3m\d\ds/m);
    expect(show.stdout).toMatch(/^schedule +learned, at a price of 500ms/m);
    expect(show.stdout).toMatch(/^expected +\d\.\d polls a job/m);
    // Most jobs end near three minutes, and there it polls.
    expect(show.stdout).toMatch(/^(2m50s|3m00s) +█+ +●+$/m);
    expect(show.stdout).not.toContain('\u001b');
    // So many jobs cannot all be polled for once a second.
    await start.rawQueue(server.redis).addBulk(Array.from({ length: 200 }, () => ({ name: 'x', data: {} })));
    const short = await run(['schedule', 'show'], { ...base(), CFW_RATE_LIMIT: '1' });
    expect(short.stdout).toMatch(/POLL_PRICE is 500ms; 200 jobs in flight make it more/);
    const exponential = await run(['schedule', 'show'], { ...base(), POLL_SCHEDULE: 'exponential' });
    expect(exponential.stdout).toMatch(/^schedule +exponential backoff \(POLL_SCHEDULE\)$/m);

    const reset = await run(['schedule', 'reset'], base());
    expect(reset.stdout).toMatch(/forgotten/);
    expect((await run(['schedule', 'show'], base())).stdout).toBe(nothing.stdout);
  });
});
