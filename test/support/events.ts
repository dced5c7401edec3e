import { type CfwJobEvent, type CfwJobEventData, toEntry } from '../../src/events/event.js';
import type { EndedJob } from '../../src/events/index.js';
import { type FailureReason, NEW_HISTORY } from '../../src/polling/index.js';
import type { RedisClient } from '../../src/redis/client.js';
import { STREAM } from './redis.js';

/** The event of a job that CFW says succeeded, or failed where a reason is given. */
export function eventOf(jobId: string, reason: 'JOB_FAILED' | null = null): CfwJobEvent {
  const status = reason === null ? 'completed' : 'failed';
  return {
    specversion: '1.0',
    id: jobId,
    source: 'https://cfw.example.com/v3/p',
    type: `cfw.job.${status}`,
    subject: jobId,
    time: '2026-11-24T00:00:00.000Z',
    datacontenttype: 'application/json',
    data: {
      projectId: 'p',
      jobId,
      status,
      cfwStatus: reason === null ? 'Success' : 'Failed',
      reason,
      message: reason,
      beginTime: null,
      endTime: null,
      enqueuedAt: '2026-11-24T00:00:00.000Z',
      polls: 1,
      watchId: null,
      errorCounts: {},
      lastError: null,
      metadata: { orderId: jobId },
    },
  } as CfwJobEvent;
}

/** Appends events as the publisher does; returns the ids of their entries. */
export async function append(redis: RedisClient, ...jobIds: string[]): Promise<string[]> {
  return await Promise.all(
    jobIds.map(async (jobId) => (await redis.xadd(STREAM, '*', ...toEntry(eventOf(jobId)))) as string),
  );
}

/** The end of a job from which the publisher makes an event with this data. */
export function endOf(
  data: Pick<CfwJobEventData, 'projectId' | 'jobId'> & Partial<CfwJobEventData>,
  traceparent: string | null = null,
): EndedJob {
  const { projectId, jobId, watchId = null, metadata = null, reason = null, message, enqueuedAt, ...polled } = data;
  const known = Object.keys(NEW_HISTORY).filter((name) => name in polled);
  const changed = Object.fromEntries(known.map((name) => [name, polled[name as keyof typeof polled]]));
  return {
    job: { projectId: projectId as string, jobId: jobId as string, watchId, metadata, traceparent },
    enqueuedAt: Date.parse(enqueuedAt ?? '2026-11-24T00:00:00.000Z'),
    endedAt: Date.now(),
    verdict:
      reason === null
        ? { kind: 'completed' }
        : { kind: 'failed', reason: reason as FailureReason, message: message ?? '' },
    history: { ...NEW_HISTORY, ...changed },
  };
}
