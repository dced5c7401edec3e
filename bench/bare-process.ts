/** What a call costs without any queue: got in a loop, as one would set it up; with OURS, as it is set up here. */
import { Agent } from 'node:http';
import got from 'got';
import { createHttp } from '../src/cfw/index.js';
import { answer } from './processes.js';
import { usageMeter } from './usage.js';

const usage = usageMeter();
const http = process.env.OURS
  ? createHttp({ requestTimeoutMs: 10_000, proxy: undefined }).http
  : got.extend({
      agent: { http: new Agent({ keepAlive: true }) },
      timeout: { request: 10_000 },
      retry: { limit: 0 },
      throwHttpErrors: false,
    });
const { CFW_ENDPOINT: endpoint, CFW_AUTH_TOKEN: token = '' } = process.env;

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
        JSON.parse((await http.get(`${endpoint}/v3/bench/jobs/${jobId}`, { headers: { 'X-Auth-Token': token } })).body);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, runner));
    return polls;
  },
});
