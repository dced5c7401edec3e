/** The worker that one would write first: every job is held in p-retry until it ends. With EMPTY, BullMQ alone. */
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import pRetry from 'p-retry';
import { CfwClient, createHttp, tokenCredential } from '../src/cfw/index.js';
import { Secret } from '../src/lib/secret.js';
import { answer } from './processes.js';
import { usageMeter } from './usage.js';

const usage = usageMeter();
const { http } = createHttp({ requestTimeoutMs: 10_000, proxy: undefined });
const client = new CfwClient({
  endpoint: process.env.CFW_ENDPOINT ?? '',
  requestTimeoutMs: 10_000,
  credential: tokenCredential(new Secret(process.env.CFW_AUTH_TOKEN ?? '')),
  http,
});
const delayMs = Number(process.env.DELAY_MS);
let done = 0;

const poll = async (jobId: string) => {
  const polling = async () => {
    done += 1;
    const answer = await client.getJob({ projectId: 'bench', jobId });
    if (answer.kind !== 'job' || answer.status === 'Running') throw new Error('not yet');
  };
  await pRetry(polling, { retries: 1_000, minTimeout: delayMs, maxTimeout: delayMs, factor: 1 });
};
const empty = async () => {
  done += 1;
};

new Worker('cfw-jobs', process.env.EMPTY ? empty : (job) => poll(job.data.jobId), {
  connection: new Redis(process.env.REDIS_URL ?? '', { maxRetriesPerRequest: null }),
  prefix: '{cfw}',
  concurrency: Number(process.env.CONCURRENCY),
  removeOnComplete: { count: 1_000 },
  removeOnFail: { count: 1_000 },
}).on('error', () => {});

answer({ usage, done: () => done });
