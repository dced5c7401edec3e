import { describe, expect, it } from '@jest/globals';
import { type InvalidJob, NOT_JSON, type PollJob, parseJobData } from '../../src/queue/job.js';

const DEFAULT_PROJECT = 'default-project';

function read(data: unknown, defaultProjectId: string | undefined = DEFAULT_PROJECT): PollJob {
  const job = parseJobData(data, defaultProjectId);
  if ('problems' in job) throw new Error(`does not fit: ${job.problems.join('; ')}`);
  return job;
}

function invalid(data: unknown, defaultProjectId: string | undefined = DEFAULT_PROJECT): InvalidJob {
  const job = parseJobData(data, defaultProjectId);
  if (!('problems' in job)) throw new Error(`fits: ${JSON.stringify(job)}`);
  return job;
}

describe('job data that fits', () => {
  it('is read as it is', () => {
    const data = {
      jobId: 'f588ce71-e26c-400d-8981-f854355f6849',
      projectId: '09bb24e6f280d21f0f9bc0104d901384',
      watchId: 'second_try',
      timeoutMs: 1_800_000,
      metadata: { orderId: '42', nested: { list: [1, null] } },
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    };
    expect(parseJobData(data, DEFAULT_PROJECT)).toEqual(data);
  });

  it.each([
    [{ jobId: 'CS2403271050ZEM0L' }],
    [{ jobId: 'CS2403271050ZEM0L', projectId: null, watchId: null, timeoutMs: null, metadata: null }],
    [{ jobId: 'CS2403271050ZEM0L', later: true, __v: 3 }],
  ])('needs a jobId only, and may have fields that nobody knows: %j', (data) => {
    expect(read(data)).toEqual({
      projectId: DEFAULT_PROJECT,
      jobId: 'CS2403271050ZEM0L',
      watchId: null,
      timeoutMs: null,
      metadata: null,
      traceparent: null,
    });
  });

  it('keeps its own project where there is a default', () => {
    expect(read({ jobId: 'j', projectId: 'p' }).projectId).toBe('p');
    expect(parseJobData({ jobId: 'j', projectId: 'p' }, undefined)).toMatchObject({ projectId: 'p' });
  });

  it.each(['a', '_', '-', '0', 'a'.repeat(64)])('may have the id "%s"', (id) => {
    expect(read({ jobId: id, projectId: id, watchId: id })).toMatchObject({ jobId: id, projectId: id, watchId: id });
  });

  it.each([1, 86_400_000])('may have a timeout of %d ms', (timeoutMs) => {
    expect(read({ jobId: 'j', timeoutMs }).timeoutMs).toBe(timeoutMs);
  });

  it.each(['{}', '{"a":1}', '{"__proto__":{"admin":true}}', '{"b":1,"a":2}'])(
    'keeps the metadata %s untouched',
    (json) => {
      expect(JSON.stringify(read({ jobId: 'j', metadata: JSON.parse(json) }).metadata)).toBe(json);
    },
  );
});

describe('a trace', () => {
  const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

  it.each([TRACE, TRACE.replace(/01$/, '00'), `${TRACE.replace(/^00/, '01')}-later`])('is kept: %s', (traceparent) => {
    expect(read({ jobId: 'j', traceparent }).traceparent).toBe(traceparent);
  });

  it.each([
    'nonsense',
    TRACE.toUpperCase(),
    TRACE.replace(/^00/, 'ff'),
    TRACE.replace(/-[0-9a-f]{32}-/, `-${'0'.repeat(32)}-`),
    TRACE.replace(/-[0-9a-f]{16}-/, `-${'0'.repeat(16)}-`),
    `${TRACE}\nx`,
    42,
    { version: '00' },
  ])('that cannot be read is left out, and the job goes on without: %j', (traceparent) => {
    expect(read({ jobId: 'j', traceparent }).traceparent).toBeNull();
  });
});

describe('invalid job data', () => {
  it.each([null, undefined, 'job-1', '{"jobId":"job-1"}', 42, true, [], [{ jobId: 'job-1' }]])(
    'is %j in place of an object',
    (data) => {
      expect(invalid(data)).toEqual({
        projectId: null,
        jobId: null,
        watchId: null,
        metadata: null,
        traceparent: null,
        problems: ['data must be a JSON object'],
      });
    },
  );

  it('is what is no JSON', () => {
    expect(invalid(NOT_JSON)).toEqual({
      projectId: null,
      jobId: null,
      watchId: null,
      metadata: null,
      traceparent: null,
      problems: ['data is not JSON'],
    });
  });

  describe.each(['jobId', 'projectId', 'watchId'])('has a %s', (field) => {
    const data = (value: unknown) => ({ jobId: 'j', projectId: 'p', watchId: 'w', [field]: value });

    it.each([
      '',
      ' ',
      'a b',
      '../j',
      '..',
      '.',
      'a/b',
      'a%2Fb',
      'a.b',
      'a:b',
      'j\n',
      'j\u0000',
      'jöb',
      '{j}',
      'a'.repeat(65),
    ])('of illegal characters or length: %j', (id) => {
      const { problems, ...readable } = invalid(data(id));
      expect(problems).toEqual([`${field} must be 1 to 64 characters of A-Z a-z 0-9 _ -`]);
      expect(readable).toMatchObject({ jobId: 'j', projectId: 'p', watchId: 'w', metadata: null, [field]: null });
    });

    it.each<unknown>([42, true, {}, ['j'], { toString: 'j' }])('of another type: %j', (id) => {
      expect(invalid(data(id)).problems).toEqual([`${field} must be a string`]);
    });
  });

  it.each([{}, { jobId: null }, { jobid: 'j' }, { projectId: 'p' }])('has no jobId: %j', (data) => {
    expect(invalid(data).problems).toEqual(['jobId must be a string']);
  });

  it('does not inherit a jobId', () => {
    expect(invalid(JSON.parse('{"__proto__":{"jobId":"j"}}'))).toMatchObject({ jobId: null });
  });

  it('names no project where there is no default', () => {
    const job = parseJobData({ jobId: 'j' }, undefined);
    expect(job).toMatchObject({ jobId: 'j', projectId: null });
    expect(job).toHaveProperty('problems', [expect.stringMatching(/^projectId is missing.*CFW_PROJECT_ID/)]);
  });

  it.each([0, -1, 1.5, '30', '30m', 86_400_001, Number.MAX_SAFE_INTEGER, true, {}, []])(
    'has the timeoutMs %j',
    (timeoutMs) => {
      expect(invalid({ jobId: 'j', timeoutMs }).problems).toEqual([expect.stringMatching(/^timeoutMs must be/)]);
    },
  );

  it.each<unknown>([[[]], ['text'], [42], [true]])('has %j in place of metadata', (metadata) => {
    const job = invalid({ jobId: 'j', metadata });
    expect(job.problems).toEqual(['metadata must be a JSON object']);
    expect(job.metadata).toBeNull();
  });

  it('tells all its problems, and what can be read of it', () => {
    const { problems, ...readable } = invalid({
      jobId: '../j',
      projectId: 'p',
      watchId: 7,
      timeoutMs: 0,
      metadata: { orderId: '42' },
    });
    expect(problems.map((problem) => problem.split(' ')[0]).sort()).toEqual(['jobId', 'timeoutMs', 'watchId']);
    expect(readable).toMatchObject({ jobId: null, projectId: 'p', watchId: null, metadata: { orderId: '42' } });
  });
});

describe('metadata', () => {
  // {"a":""} takes 8 of the 4096 bytes.
  it.each([
    ['ASCII', 'x', 4_088],
    ['two bytes a character', 'ü', 2_044],
    ['four bytes a character', '😀', 1_022],
    ['characters that JSON escapes', '\n', 2_044],
  ])('fits up to exactly 4096 bytes of JSON: %s', (_text, character, count) => {
    const largest = { a: character.repeat(count) };
    expect(Buffer.byteLength(JSON.stringify(largest))).toBe(4_096);
    expect(read({ jobId: 'j', metadata: largest }).metadata).toEqual(largest);

    const job = invalid({ jobId: 'j', metadata: { a: `${largest.a}x` } });
    expect(job.problems).toEqual(['metadata must have at most 4096 bytes as JSON']);
    expect(job).toMatchObject({ jobId: 'j', metadata: null });
  });
});
