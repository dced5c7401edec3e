import type { CredentialState } from '../cfw/index.js';
import type { RedisClient } from '../redis-client.js';

/** One thing that must be in order for the sidecar to do its work. */
export interface Check {
  readonly ok: boolean;
  /** RFC 3339. */
  readonly since: string;
  readonly error: string | null;
}

/** Whether the sidecar can do its work, and what stands in its way. */
export interface Readiness {
  readonly ready: boolean;
  readonly checks: { readonly redis: Check; readonly credentials: Check };
}

/** How long Redis may take to answer. */
const REDIS_ANSWER_MS = 1_000;

/** Tells, when asked, whether the sidecar can do its work. */
export function createReadiness(redis: RedisClient, credentialState: () => CredentialState): () => Promise<Readiness> {
  let redisCheck: Check | undefined;
  return async () => {
    const error = await redisError(redis);
    if (redisCheck === undefined || redisCheck.ok !== (error === null)) {
      redisCheck = { ok: error === null, since: new Date().toISOString(), error };
    }
    const state = credentialState();
    const credentials: Check = {
      ok: state.state !== 'refused',
      since: new Date(state.since).toISOString(),
      error: state.state === 'refused' ? `${state.refusal.code}: ${state.refusal.message}` : null,
    };
    return { ready: redisCheck.ok && credentials.ok, checks: { redis: { ...redisCheck, error }, credentials } };
  };
}

async function redisError(redis: RedisClient): Promise<string | null> {
  if (redis.status !== 'ready') return `the connection is ${redis.status}`;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer within ${REDIS_ANSWER_MS} ms`), REDIS_ANSWER_MS);
  });
  const answer = redis.ping().then(
    () => null,
    (error: Error) => error.message,
  );
  return await Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
