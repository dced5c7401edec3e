import { describe, expect, it } from '@jest/globals';
import { CloudEvent } from 'cloudevents';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { type CfwJobEvent, ENTRY_FIELDS, fromEntry, InvalidEntryError, toEntry } from '../../src/events/event.js';
import { EventPublisher } from '../../src/events/publisher.js';
import { endOf } from '../support/events.js';

const COMPLETED: CfwJobEvent = {
  specversion: '1.0',
  id: 'job-1',
  source: 'https://cfw.example.com/v3/project-1',
  type: 'cfw.job.completed',
  subject: 'job-1',
  time: '2026-01-02T03:04:05.678Z',
  datacontenttype: 'application/json',
  data: {
    projectId: 'project-1',
    jobId: 'job-1',
    status: 'completed',
    cfwStatus: 'Success',
    reason: null,
    message: null,
    beginTime: '2026-01-02T03:00:00.000Z',
    endTime: '2026-01-02T03:04:00.000Z',
    enqueuedAt: '2026-01-02T02:59:59.999Z',
    polls: 7,
    watchId: null,
    errorCounts: { 'APIGW.0308': 3, ECONNRESET: 1 },
    lastError: { code: 'APIGW.0308', httpStatus: 429, message: 'too many calls, „langsam“', requestId: 'b6c1…' },
    metadata: { orderId: '42', nested: { list: [1, null, 'ü'] } },
  },
};

const FAILED: CfwJobEvent = {
  ...COMPLETED,
  id: 'bullmq:cfw-jobs:17',
  source: 'https://cfw.example.com/v3/-',
  type: 'cfw.job.failed',
  subject: 'bullmq:cfw-jobs:17',
  data: {
    projectId: null,
    jobId: null,
    status: 'failed',
    cfwStatus: null,
    reason: 'INVALID_REQUEST',
    message: 'jobId must be a string',
    beginTime: null,
    endTime: null,
    enqueuedAt: '2026-01-02T02:59:59.999Z',
    polls: 0,
    watchId: null,
    errorCounts: {},
    lastError: null,
    metadata: null,
  },
};

const withMetadata = (metadata: Record<string, unknown>): CfwJobEvent => ({
  ...COMPLETED,
  data: { ...COMPLETED.data, metadata },
});

/** The fields of an entry, with some of them replaced or, by undefined, left out. */
function entryWith(changes: Record<string, string | undefined>, event: CfwJobEvent = COMPLETED): string[] {
  const fields = toEntry(event);
  const entry = Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]]] : [])));
  return Object.entries({ ...entry, ...changes }).flatMap(([name, value]) =>
    value === undefined ? [] : [name, value],
  );
}

/** An entry with some members of its data replaced or, by undefined, left out. */
const entryWithData = (changes: Record<string, unknown>, event: CfwJobEvent = COMPLETED) =>
  entryWith({ data: JSON.stringify({ ...event.data, ...changes }) }, event);

describe('a stream entry', () => {
  it('has the attributes of the event as fields, in the documented order, and the data as JSON', () => {
    const fields = toEntry(COMPLETED);
    expect(fields.filter((_, i) => i % 2 === 0)).toEqual([
      'specversion',
      'id',
      'source',
      'type',
      'subject',
      'time',
      'datacontenttype',
      'data',
    ]);
    expect(fields.slice(0, 8)).toEqual([
      'specversion',
      '1.0',
      'id',
      'job-1',
      'source',
      'https://cfw.example.com/v3/project-1',
      'type',
      'cfw.job.completed',
    ]);
    expect(JSON.parse(fields.at(-1) as string)).toEqual(COMPLETED.data);
  });

  it.each([
    ['completed', COMPLETED],
    ['failed', FAILED],
  ])('gives back the %s event that it was made from', (_kind, event) => {
    expect(fromEntry('1-0', toEntry(event))).toEqual(event);
  });

  it('of an older version is read too, though its last error names no request', () => {
    const { requestId: _, ...lastError } = COMPLETED.data.lastError as { requestId: string };
    expect(fromEntry('1-0', entryWithData({ lastError })).data.lastError).toEqual({ ...lastError, requestId: null });
  });

  it('gives back metadata untouched, whatever it holds', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (metadata) => {
        const read = fromEntry('1-0', toEntry(withMetadata(metadata))).data.metadata;
        expect(JSON.stringify(read)).toBe(JSON.stringify(metadata));
      }),
    );
  });

  it.each(['{"__proto__":{"polluted":true},"a":1}', '{"constructor":{"prototype":{}}}', '{"a":{"__proto__":null}}'])(
    'gives back the metadata %s untouched',
    (json) => {
      const read = fromEntry('1-0', toEntry(withMetadata(JSON.parse(json)))).data.metadata;
      expect(JSON.stringify(read)).toBe(json);
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    },
  );

  it.each(['constructor', 'toString'])('gives back the count of an error with the code "%s"', (code) => {
    const errorCounts = JSON.parse(`{"${code}":3,"APIGW.0308":1}`);
    const read = fromEntry('1-0', toEntry({ ...COMPLETED, data: { ...COMPLETED.data, errorCounts } }));
    expect(Object.entries(read.data.errorCounts)).toEqual([
      [code, 3],
      ['APIGW.0308', 1],
    ]);
  });

  it('may have its fields in any order, and fields and data members of later versions', () => {
    const fields = entryWithData({ later: 1 });
    const reversed = ['tracestate', 'x=y'];
    for (let i = fields.length - 2; i >= 0; i -= 2) reversed.push(fields[i] as string, fields[i + 1] as string);
    expect(fromEntry('1-0', reversed)).toEqual(COMPLETED);
  });
});

describe('an entry that is no event of ours', () => {
  it.each<[string, string[]]>([
    ['nothing', []],
    ['fields of others', ['message', 'hello']],
    ['a field without a value', ['data']],
    ['a __proto__ field', ['__proto__', JSON.stringify(COMPLETED.data)]],
    ...ENTRY_FIELDS.filter((name) => name !== 'traceparent').map((name): [string, string[]] => [
      `no ${name}`,
      entryWith({ [name]: undefined }),
    ]),
    ['data that is no JSON', entryWith({ data: '{"jobId": NaN}' })],
    ['data that is cut off', entryWith({ data: JSON.stringify(COMPLETED.data).slice(0, -1) })],
    ['data that is null', entryWith({ data: 'null' })],
    ['data that is a list', entryWith({ data: '[]' })],
    ['data that is empty', entryWith({ data: '{}' })],
    ['another specversion', entryWith({ specversion: '0.3' })],
    ['another datacontenttype', entryWith({ datacontenttype: 'text/plain' })],
    ['an unknown type', entryWith({ type: 'cfw.job.started' })],
    ['an empty id', entryWith({ id: '' })],
    ['a time in another zone', entryWith({ time: '2026-01-02T03:04:05.678+08:00' })],
    ['a time without milliseconds', entryWith({ time: '2026-01-02T03:04:05Z' })],
    ['a time that does not exist', entryWith({ time: '2026-02-30T03:04:05.678Z' })],
    ['an unknown status', entryWithData({ status: 'running' })],
    ['an unknown reason', entryWithData({ reason: 'BORED' }, FAILED)],
    ['polls that are no number', entryWithData({ polls: '7' })],
    ['a time in its data that is none', entryWithData({ enqueuedAt: 'yesterday' })],
    ['a list as its metadata', entryWithData({ metadata: [] })],
    ['no errorCounts', entryWithData({ errorCounts: undefined })],
    ['the type completed, but a failed status', entryWithData({ status: 'failed' })],
    ['the type completed, but a reason', entryWithData({ reason: 'JOB_FAILED' })],
    ['the type completed, but the data of a failure', entryWith({ type: 'cfw.job.completed' }, FAILED)],
    ['the type failed, but the data of a success', entryWith({ type: 'cfw.job.failed' })],
    ['the type failed, but a completed status', entryWithData({ status: 'completed' }, FAILED)],
    ['the type failed, but no reason', entryWithData({ reason: null }, FAILED)],
  ])('is refused with %s', (_what, fields) => {
    expect(() => fromEntry('1700000000000-7', fields)).toThrow(InvalidEntryError);
  });

  it('is named by the error, which also says what is wrong', () => {
    try {
      fromEntry('1700000000000-7', entryWithData({ polls: '7' }));
      throw new Error('the entry was taken');
    } catch (error) {
      expect(error).toMatchObject({ name: 'InvalidEntryError', entryId: '1700000000000-7' });
      expect(error).toHaveProperty('message', expect.stringContaining('1700000000000-7'));
      expect(error).toHaveProperty('message', expect.stringContaining('polls'));
    }
  });
});

describe('a published event', () => {
  const data = { ...COMPLETED.data, projectId: 'project-1', jobId: 'job-1' };
  const failed = { ...data, cfwStatus: 'Failed', reason: 'JOB_FAILED', message: 'it failed' } as const;
  const nothing = { projectId: null, jobId: null, watchId: null, metadata: null, traceparent: null };
  const invalid = {
    ...{ queueName: 'cfw-jobs', queueJobId: '17', enqueuedAt: Date.parse(FAILED.data.enqueuedAt), endedAt: Date.now() },
    job: { ...nothing, problems: ['jobId must be a string'] },
  };

  /** Publishes to a Redis that only keeps what it is told, and gives back the fields of the entry. */
  async function entryOf(publish: (publisher: EventPublisher) => Promise<unknown>): Promise<string[]> {
    let fields: string[] = [];
    const redis = {
      defineCommand(name: string) {
        Object.assign(redis, {
          [name]: async (...args: unknown[]) => {
            fields = args.slice(args.indexOf('specversion')).map(String);
            return [1, '1-0'];
          },
        });
      },
    };
    await publish(
      new EventPublisher({
        redis: redis as unknown as Redis,
        stream: '{cfw}:events',
        maxLength: 0,
        dedupTtlMs: 1_000,
        endpoint: 'https://cfw.example.com',
      }),
    );
    return fields;
  }

  const cases: [
    string,
    (publisher: EventPublisher) => Promise<unknown>,
    { type: string; id: string; source: string },
  ][] = [
    [
      'of a completed job',
      (publisher) => publisher.publish(endOf(data)),
      { type: 'cfw.job.completed', id: 'job-1', source: 'https://cfw.example.com/v3/project-1' },
    ],
    [
      'of a failed job',
      (publisher) => publisher.publish(endOf(failed)),
      { type: 'cfw.job.failed', id: 'job-1', source: 'https://cfw.example.com/v3/project-1' },
    ],
    [
      'of a further watch',
      (publisher) => publisher.publish(endOf({ ...data, watchId: 'again' })),
      { type: 'cfw.job.completed', id: 'job-1.again', source: 'https://cfw.example.com/v3/project-1' },
    ],
    [
      'of a queue job whose data is invalid',
      (publisher) => publisher.publishInvalid(invalid),
      { type: 'cfw.job.failed', id: 'bullmq:cfw-jobs:17', source: 'https://cfw.example.com/v3/-' },
    ],
  ];

  it.each(cases)(
    '%s is a CloudEvent to the official SDK, and one of ours to our reader',
    async (_of, publish, told) => {
      const fields = await entryOf(publish);
      const ours = fromEntry('1-0', fields);
      expect(ours).toMatchObject(told);

      const attributes = Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]]] : [])));
      // The constructor is strict: it throws where an attribute breaks the specification.
      const event = new CloudEvent({ ...attributes, data: JSON.parse(attributes.data as string) });
      expect(event.validate()).toBe(true);
      expect(event.toJSON()).toMatchObject(ours);
    },
  );

  it('tells the ten most frequent errors', async () => {
    const errorCounts = Object.fromEntries(Array.from({ length: 15 }, (_, n) => [`E${n}`, n + 1]));
    const { data: published } = fromEntry(
      '1-0',
      await entryOf((publisher) => publisher.publish(endOf({ ...data, errorCounts }))),
    );
    const most = Array.from({ length: 10 }, (_, n) => [`E${14 - n}`, 15 - n]);
    expect(published.errorCounts).toEqual(Object.fromEntries(most));
  });
});
