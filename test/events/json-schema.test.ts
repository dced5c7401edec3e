import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { CloudEvent } from 'cloudevents';
import { type CfwJobEventData, EventPublisher } from '../../src/events/index.js';
import { eventDataJsonSchema } from '../../src/events/json-schema.js';
import { endOf, eventOf } from '../support/events.js';
import { STREAM, useRedis } from '../support/redis.js';

const server = useRedis();
beforeEach(async () => {
  await server.redis.client.flushall();
});

const SHIPPED = JSON.parse(readFileSync(new URL('../../schemas/event-data.schema.json', import.meta.url), 'utf8'));

const ajv = new Ajv2020({ strict: true, strictRequired: true, allowUnionTypes: true });
(addFormats as unknown as (to: Ajv2020) => void)(ajv);
const fits = ajv.compile(SHIPPED);

describe('the JSON Schema of data', () => {
  it('is shipped as the one schema says: npm run schema writes it anew', () => {
    expect(SHIPPED).toEqual(eventDataJsonSchema());
  });

  it('fits what is published, and so does the CloudEvents SDK', async () => {
    const publisher = new EventPublisher({
      redis: server.redis.client,
      stream: STREAM,
      maxLength: 0,
      dedupTtlMs: 60_000,
      endpoint: 'https://cfw.example.com',
    });
    const end = (jobId: string, change: Partial<CfwJobEventData> = {}) =>
      endOf({ ...eventOf(jobId).data, ...change, projectId: 'p', jobId });
    const lastError = { code: 'APIGW.0308', httpStatus: 429, message: 'too many', requestId: 'abc' };
    await publisher.publish(end('a', { beginTime: '2026-11-24T00:00:00.000Z', metadata: { a: [1, { b: null }] } }));
    await publisher.publish(end('b', { metadata: null, watchId: 'again' }));
    for (const reason of ['JOB_FAILED', 'JOB_NOT_FOUND', 'TIMED_OUT', 'ACCESS_DENIED', 'INVALID_REQUEST'] as const) {
      await publisher.publish(end(reason, { reason, message: 'no', lastError, errorCounts: { 'APIGW.0308': 3 } }));
    }
    const nothing = { projectId: null, jobId: null, watchId: null, metadata: null, traceparent: null };
    const invalid = { ...nothing, problems: ['data is not JSON'] };
    await publisher.publishInvalid({ queueName: 'cfw-jobs', queueJobId: '7', enqueuedAt: 0, endedAt: 1, job: invalid });

    const entries = await server.redis.client.xrange(STREAM, '-', '+');
    expect(entries).toHaveLength(8);
    for (const [, fields] of entries) {
      const entry = Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]]] : [])));
      const data = JSON.parse(entry.data as string);
      expect([fits(data), fits.errors]).toEqual([true, null]);
      // Strict: it throws where an attribute breaks the specification.
      expect(new CloudEvent({ ...entry, data }).validate()).toBe(true);
    }
  });

  it('refuses what is no such data, and allows fields that later versions add', () => {
    const { data } = eventOf('a');
    expect(fits({ ...data, later: 1 })).toBe(true);
    for (const change of [{ status: 'failed' }, { polls: -1 }, { enqueuedAt: 'now' }, { metadata: [] }, { jobId: 1 }]) {
      expect(fits({ ...data, ...change })).toBe(false);
    }
  });
});
