import { toEntry } from '../src/events/event.js';
import { type CfwJobEvent, CfwJobEventSubscriber, consumeEvents } from '../src/index.js';
import type { Setting } from './setting.js';
import { usageMeter } from './usage.js';

const EVENTS = 50_000;
const STREAM = '{cfw}:events';

/** How many events one subscriber handles in a second, where the handler does nothing. */
export async function subscriber(setting: Setting) {
  const { redis } = setting;
  for (let n = 0; n < EVENTS; n += 1_000) {
    const pipeline = redis.pipeline();
    for (let m = n; m < n + 1_000; m += 1) pipeline.xadd(STREAM, '*', ...toEntry(exampleEvent(`job-${m}`)));
    await pipeline.exec();
  }
  const options = (group: string) => ({ redis, group, consumer: 'bench', from: 'start' as const });
  const rows = [];
  for (const concurrency of [1, 10, 100]) {
    const usage = usageMeter();
    let left = EVENTS;
    await new Promise<void>((resolve) => {
      const reading = new CfwJobEventSubscriber({
        ...options(`subscriber-${concurrency}`),
        concurrency,
        handler: () => {
          left -= 1;
          if (left === 0) void reading.stop().then(() => resolve());
        },
      });
    });
    rows.push(row(`handler, concurrency ${concurrency}`, usage()));
  }
  const usage = usageMeter();
  let left = EVENTS;
  for await (const _ of consumeEvents(options('iterator'))) {
    left -= 1;
    if (left === 0) break;
  }
  rows.push(row('async iterator', usage()));
  return { rows, conclusions: [] };
}

function row(way: string, { wallMs, cpuMs, rssMb }: { wallMs: number; cpuMs: number; rssMb: number }) {
  return {
    [`${EVENTS.toLocaleString('en')} events by`]: way,
    'events/s': (EVENTS / wallMs) * 1_000,
    'CPU µs per event': (cpuMs / EVENTS) * 1_000,
    'RSS MB': rssMb,
  };
}

function exampleEvent(jobId: string): CfwJobEvent {
  const time = '2026-11-24T00:00:00.000Z';
  return {
    specversion: '1.0',
    id: jobId,
    source: 'https://cfw.example.com/v3/09bb24e6fe80d23d2fa2c010b53b418c',
    type: 'cfw.job.completed',
    subject: jobId,
    time,
    datacontenttype: 'application/json',
    data: {
      projectId: '09bb24e6fe80d23d2fa2c010b53b418c',
      jobId,
      status: 'completed',
      cfwStatus: 'Success',
      reason: null,
      message: null,
      beginTime: time,
      endTime: time,
      enqueuedAt: time,
      polls: 7,
      watchId: null,
      errorCounts: { 'APIGW.0308': 3 },
      lastError: {
        code: 'APIGW.0308',
        httpStatus: 429,
        message: 'The throttling threshold has been reached',
        requestId: null,
      },
      metadata: { orderId: '42', customer: 'example' },
    },
  };
}
