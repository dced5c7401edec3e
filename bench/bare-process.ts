/** What a call costs without any queue: got in a loop, or paced; as one would set it up, or with OURS as it is set up here. */
import { Agent } from 'node:http';
import got from 'got';
import { Redis } from 'ioredis';
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
const { CFW_ENDPOINT: endpoint, CFW_AUTH_TOKEN: token = '', REDIS_URL = '' } = process.env;

/** As little as one can write down of a poll: when the job is due again. */
const WRITE = "return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])";

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
  /** Makes so many calls a second, those of a slot together, until the process is ended. */
  paced: ({ callsPerSecond, slotMs, withScript }: { callsPerSecond: number; slotMs: number; withScript: boolean }) => {
    const redis = withScript ? new Redis(REDIS_URL, { enableAutoPipelining: true }) : undefined;
    redis?.defineCommand('writeDown', { numberOfKeys: 1, lua: WRITE });
    const commands = redis as unknown as
      | { writeDown(key: string, at: number, jobId: string): Promise<number> }
      | undefined;
    let calls = 0;
    const one = async (jobId: string) => {
      JSON.parse((await http.get(`${endpoint}/v3/bench/jobs/${jobId}`, { headers: { 'X-Auth-Token': token } })).body);
      await commands?.writeDown('{cfw}:floor', Date.now(), jobId);
    };
    const begunAt = performance.now();
    setInterval(() => {
      for (const due = ((performance.now() - begunAt) * callsPerSecond) / 1_000; calls < due; calls += 1) {
        void one(`job-${calls % 3_000}`);
      }
    }, slotMs);
  },
});
