import { beforeEach, describe, expect, it } from '@jest/globals';
import { jobLog } from '../../src/ops/job-log.js';
import { createLogger } from '../../src/ops/logger.js';
import { type PollHistory, NEW_HISTORY, type PollAnswer } from '../../src/polling/index.js';
import type { JobObserver, PollJob } from '../../src/queue/index.js';

const JOB = { projectId: 'p', jobId: 'j', watchId: null, timeoutMs: null, metadata: null } as PollJob;

let lines: Record<string, unknown>[];
let log: JobObserver;
beforeEach(() => {
  lines = [];
  log = jobLog(createLogger('info', { write: (line) => lines.push(JSON.parse(line)) }));
});

/** Tells of polls, one each 25 s, that find what has been so since the first of them. */
function poll(times: number, answer: PollAnswer, since: 'deniedSince' | 'unknownStatusSince'): void {
  let before: PollHistory = NEW_HISTORY;
  for (let n = 0; n < times; n += 1) {
    const history = { ...before, polls: n + 1, lastPollAt: 1_000_000 + n * 25_000, [since]: 1_000_000 };
    log.polled(JOB, answer, history, before, 0);
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
      { projectId: 'p', jobId: 'j', attempt: 4, msg: expect.stringContaining('unknown status for a minute') },
    ]);
  });
});

describe('trouble with the queue', () => {
  it('that says the same again and again, as while Redis is away, is told once', () => {
    for (let n = 0; n < 10; n += 1) log.trouble(new Error('connect ECONNREFUSED'), undefined);
    log.trouble(new Error('WRONGPASS'), undefined);
    expect(warnings()).toMatchObject([{ err: { message: 'connect ECONNREFUSED' } }, { err: { message: 'WRONGPASS' } }]);
  });

  it('of a job is told each time, with the job', () => {
    for (const id of ['p.1', 'p.2']) log.trouble(new Error('lost lock'), id);
    expect(warnings()).toMatchObject([{ queueJobId: 'p.1' }, { queueJobId: 'p.2' }]);
  });
});
