/** What a poll costs without any queue: the client in a loop. */
import { CfwClient, createHttp, tokenCredential } from '../src/cfw/index.js';
import { Secret } from '../src/secret.js';
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

answer({
  usage,
  /** Polls jobs in turn, so many at the same time, for so long. @returns the number of polls. */
  loop: async ({ jobIds, concurrency, forMs }: { jobIds: string[]; concurrency: number; forMs: number }) => {
    const until = Date.now() + forMs;
    let polls = 0;
    const runner = async () => {
      while (Date.now() < until) {
        const jobId = jobIds[polls % jobIds.length] as string;
        polls += 1;
        await client.getJob({ projectId: 'bench', jobId });
      }
    };
    await Promise.all(Array.from({ length: concurrency }, runner));
    return polls;
  },
});
