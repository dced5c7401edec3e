import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseErrorResponse, parseJobResponse, parseTime } from '../../src/cfw/answer.js';

const BEGIN = '2022-01-05T08:15:01.000Z';

describe('a time', () => {
  it.each<readonly [unknown, string]>([
    [1641370501000, BEGIN],
    ['1641370501000', BEGIN],
    [1641370501999.5, '2022-01-05T08:15:01.999Z'],
    ['2022-01-05T08:15:01Z', BEGIN],
    ['2022-01-05T16:15:01+0800', BEGIN],
    ['2022-01-05T16:15:01+08:00', BEGIN],
    ['2022-01-05T04:45:01-0330', BEGIN],
    ['2022-01-05T04:45:01-03:30', BEGIN],
    ['2022-01-05T08:15:01+0000', BEGIN],
    ['2022-01-05T08:15:01', BEGIN],
    ['2022-01-05 08:15:01', BEGIN],
    ['2022-01-05t08:15:01z', BEGIN],
    [' 2022-01-05T08:15:01Z\n', BEGIN],
    ['2022-01-05T08:15:01.5Z', '2022-01-05T08:15:01.500Z'],
    ['2022-01-05T16:15:01.123456+0800', '2022-01-05T08:15:01.123Z'],
    ['2022-01-01T00:15:01+0800', '2021-12-31T16:15:01.000Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ])('is read from %j as %s', (time, expected) => {
    expect(parseTime(time)).toBe(expected);
  });

  it.each<readonly [string, unknown]>([
    ['is missing', undefined],
    ['is null', null],
    ['is empty', ''],
    ['is blank', ' '],
    ['was never set', 0],
    ['was never set', '0'],
    ['was never set', '1970-01-01T00:00:00Z'],
    ['was never set', '0001-01-01T00:00:00Z'],
    ['is negative', -1641370501000],
    ['is negative', '-1641370501000'],
    ['is absurd', 1e20],
    ['is absurd', Number.MAX_SAFE_INTEGER],
    ['is absurd', '9999999999999999'],
    ['is absurd', Date.UTC(10_000, 0)],
    ['is absurd', '9999-12-31T23:59:59-0100'],
    ['is no number', Number.NaN],
    ['is no number', Number.POSITIVE_INFINITY],
    ['is garbage', 'yesterday'],
    ['is garbage', 'Wed, 05 Jan 2022 08:15:01 GMT'],
    ['is garbage', '2022-01-05'],
    ['is garbage', '2022-13-05T08:15:01Z'],
    ['is garbage', '2022-01-05T25:15:01Z'],
    ['is garbage', '2022-01-05T08:15:01+0860'],
    ['is garbage', true],
    ['is garbage', {}],
    ['is garbage', [1641370501000]],
  ])('is null where it %s: %j', (_how, time) => {
    expect(parseTime(time)).toBeNull();
  });

  it('is the same with every offset it may be written with', () => {
    const seconds = fc.integer({ min: 86_400, max: Date.UTC(9999, 11, 30) / 1_000 });
    const offsets = fc.integer({ min: -14 * 60, max: 14 * 60 });
    fc.assert(
      fc.property(seconds, offsets, fc.constantFrom('', ':'), (second, offset, colon) => {
        const utc = second * 1_000;
        const local = new Date(utc + offset * 60_000).toISOString().slice(0, 19);
        const two = (value: number) => String(Math.floor(Math.abs(value))).padStart(2, '0');
        const written = `${local}${offset < 0 ? '-' : '+'}${two(offset / 60)}${colon}${two(offset % 60)}`;
        expect(parseTime(written)).toBe(new Date(utc).toISOString());
      }),
    );
  });
});

describe('an answer about a job', () => {
  it('is read as documented', () => {
    const body = {
      data: {
        id: 'f588ce71-e26c-400d-8981-f854355f6849',
        status: 'Success',
        begin_time: 1641370501000,
        end_time: 1641370515000,
      },
    };
    expect(parseJobResponse(body)).toEqual({
      kind: 'job',
      status: 'Success',
      beginTime: BEGIN,
      endTime: '2022-01-05T08:15:15.000Z',
    });
  });

  it.each<readonly [string, object]>([
    ['no times', {}],
    ['no end yet', { begin_time: '2022-01-05T08:15:01Z' }],
    ['a null end', { begin_time: '2022-01-05T08:15:01Z', end_time: null }],
    ['an empty end', { begin_time: '2022-01-05T08:15:01Z', end_time: '' }],
    ['times of other types', { begin_time: { seconds: 1 }, end_time: [false] }],
  ])('may have %s', (_what, times) => {
    const beginTime = 'begin_time' in times && typeof times.begin_time === 'string' ? BEGIN : null;
    expect(parseJobResponse({ data: { status: 'Running', ...times } })).toEqual({
      kind: 'job',
      status: 'Running',
      beginTime,
      endTime: null,
    });
  });

  it('may have fields that nobody knows', () => {
    const body = { trace_id: 'a', error_code: null, data: { id: 7, status: 'Failed', progress: 100, __v: {} } };
    expect(parseJobResponse(body)).toEqual({ kind: 'job', status: 'Failed', beginTime: null, endTime: null });
  });

  it.each(['Pending', 'succeeded', 'Succes', '成功', 'constructor'])('keeps the status "%s" as it is', (status) => {
    expect(parseJobResponse({ data: { status } })?.status).toBe(status);
  });

  it.each([
    ['SUCCESS', 'Success'],
    ['success', 'Success'],
    [' Success\n', 'Success'],
    ['FAILED', 'Failed'],
    ['running', 'Running'],
  ])('knows the status "%s" as %s', (status, known) => {
    expect(parseJobResponse({ data: { status } })?.status).toBe(known);
  });

  it('may have a code and a message beside it that say that all is well', () => {
    const body = { code: 'OK', message: 'success', error: null, data: { status: 'Success' } };
    expect(parseJobResponse(body)?.status).toBe('Success');
  });

  it.each([
    { error_code: 'X', data: { status: 'Success' } },
    { errorCode: 'X', data: { status: 'Success' } },
    { error: { code: 'X' }, data: { status: 'Success' } },
  ])('is not one that is about an error too: %j', (body) => {
    expect(parseJobResponse(body)).toBeUndefined();
  });

  it.each([
    undefined,
    null,
    '',
    'Success',
    42,
    [],
    {},
    { status: 'Success' },
    { data: null },
    { data: 'Success' },
    { data: [{ status: 'Success' }] },
    { data: {} },
    { data: { status: null } },
    { data: { status: '' } },
    { data: { status: 1 } },
    { data: { status: true } },
    { data: { status: ['Success'] } },
    { data: { status: { name: 'Success' } } },
    { data: { Status: 'Success' } },
  ])('is not %j', (body) => {
    expect(parseJobResponse(body)).toBeUndefined();
  });
});

describe('an error', () => {
  it('is read as documented', () => {
    expect(parseErrorResponse({ error_code: 'CFW.00200005', error_msg: 'The object does not exist.' })).toEqual({
      code: 'CFW.00200005',
      message: 'The object does not exist.',
    });
  });

  it.each([
    { error_code: 'X', error_msg: 'no' },
    { errorCode: 'X', errorMsg: 'no' },
    { code: 'X', message: 'no' },
    { error: { code: 'X', message: 'no' } },
    { error: { error_code: 'X', error_msg: 'no' } },
    { error: { errorCode: 'X', errorMsg: 'no' }, request_id: '1' },
  ])('is read in this form too: %j', (body) => {
    expect(parseErrorResponse(body)).toEqual({ code: 'X', message: 'no' });
  });

  it.each([
    { error_code: 'X' },
    { error_code: 'X', error_msg: null },
    { error_code: 'X', error_msg: { en: 'no' }, request_id: '1' },
    { error_code: 'X', data: { status: 'Success' } },
  ])('needs a code only: %j', (body) => {
    expect(parseErrorResponse(body)).toEqual({ code: 'X', message: '' });
  });

  it.each([{ error_msg: 'no' }, { message: 'no' }, { error: { code: 401, message: 'no' } }])(
    'may have a message only: %j',
    (body) => {
      expect(parseErrorResponse(body)).toEqual({ code: undefined, message: 'no' });
    },
  );

  it.each([
    undefined,
    null,
    'CFW.00200005',
    [],
    {},
    { error: null },
    { error: 'no' },
    { error_code: null },
    { error_code: '' },
    { error_code: 400 },
    { code: 200, data: { status: 'Success' } },
  ])('is not %j', (body) => {
    expect(parseErrorResponse(body)).toBeUndefined();
  });
});

it('is no reason to throw, whatever JSON comes', () => {
  const value = fc.jsonValue();
  const bodies = fc.oneof(
    value,
    fc.record({ data: value, error_code: value, error_msg: value, code: value, error: value }, { requiredKeys: [] }),
    fc.record({ data: fc.record({ status: value, begin_time: value, end_time: value }, { requiredKeys: [] }) }),
  );
  fc.assert(
    fc.property(bodies, (body) => {
      const { status } = parseJobResponse(body) ?? { status: 'none' };
      expect(typeof status).toBe('string');
      expect(typeof (parseErrorResponse(body)?.code ?? '')).toBe('string');
    }),
  );
});
