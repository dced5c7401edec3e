import { beforeEach, describe, expect, it } from '@jest/globals';
import { logJobs } from '../../src/ops/job-log.js';
import { createLogger } from '../../src/ops/logger.js';
import { NEW_HISTORY, type PollAnswer, type PollHistory } from '../../src/polling/index.js';
import { JobEvents, type PollJob } from '../../src/queue/index.js';

const JOB = { projectId: 'p', jobId: 'j', watchId: null, timeoutMs: null, metadata: null } as PollJob;

let lines: Record<string, unknown>[];
let events: JobEvents;
beforeEach(() => {
  lines = [];
  events = new JobEvents();
  logJobs(events, createLogger('info', { write: (line) => lines.push(JSON.parse(line)) }));
});

/** Tells of polls, one each 25 s, that find what has been so since the first of them. */
function poll(times: number, answer: PollAnswer, since: 'deniedSince' | 'unknownStatusSince'): void {
  let before: PollHistory = NEW_HISTORY;
  for (let n = 0; n < times; n += 1) {
    const history = { ...before, polls: n + 1, lastPollAt: 1_000_000 + n * 25_000, [since]: 1_000_000 };
    events.emit('polled', { job: JOB, answer, history, before, lateMs: 0, tookMs: 1 });
    before = history;
  }
}

const warnings = () => lines.filter(({ level }) => level === 'warn');

describe('what has lasted for a minute', () => {
  it('is warned of once a job where access is denied', () => {
    const denied = { kind: 'denied', code: 'APIGW.0302', httpStatus: 403, message: 'no' } as const;
    poll(3, denied, 'deniedSince');
    expect(warnings()).toEqual([]);
    poll(10, denied, 'deniedSince');
    expect(warnings()).toMatchObject([
      { projectId: 'p', jobId: 'j', attempt: 4, msg: expect.stringContaining('denied for a minute') },
    ]);
  });

  it('is warned of once a job where the status is unknown', () => {
    const unknown = { kind: 'job', status: 'Creating', beginTime: null, endTime: null } as const;
    poll(10, unknown, 'unknownStatusSince');
    expect(warnings()).toMatchObject([
      { projectId: 'p', jobId: 'j', attempt: 4, msg: expect.stringContaining('unknown job status for a minute') },
    ]);
  });
});

describe('an error of the queue', () => {
  it('that says the same again and again, as while Redis is away, is logged once', () => {
    for (let n = 0; n < 10; n += 1) events.emit('error', new Error('connect ECONNREFUSED'), undefined);
    events.emit('error', new Error('WRONGPASS'), undefined);
    expect(warnings()).toMatchObject([{ err: { message: 'connect ECONNREFUSED' } }, { err: { message: 'WRONGPASS' } }]);
  });

  it('of a job is logged each time, with the job', () => {
    for (const id of ['p.1', 'p.2']) events.emit('error', new Error('lost lock'), id);
    expect(warnings()).toMatchObject([{ queueJobId: 'p.1' }, { queueJobId: 'p.2' }]);
  });
});

describe('writes that Redis refuses', () => {
  it('are logged once as they begin, and once as they end', () => {
    events.emit('writes', new Error('OOM command not allowed'));
    events.emit('writes', undefined);
    expect(lines).toMatchObject([
      { level: 'error', msg: 'redis refuses writes', err: { message: 'OOM command not allowed' } },
      { level: 'info', msg: 'redis accepts writes again' },
    ]);
  });
});
