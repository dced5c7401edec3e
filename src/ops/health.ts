import type { CredentialState } from '../cfw/index.js';
import { formatDuration } from '../lib/duration.js';
import type { PollAnswer } from '../polling/index.js';
import type { RedisClient } from '../redis/index.js';
import { inTime } from './in-time.js';

/** What a check finds when it is asked. */
export interface CheckResult {
  /** What is wrong, in words; null if nothing is. */
  readonly error: string | null;
  /** Since when, in epoch milliseconds, if the check knows it better than by having been asked. */
  readonly since?: number;
}

/** One thing to look at. */
export interface HealthCheck {
  /** Whether the sidecar cannot do its work without it; else it is reported, but the sidecar stays ready. */
  readonly required: boolean;
  look(): CheckResult | Promise<CheckResult>;
}

/** How a check stands. */
export interface CheckState {
  readonly ok: boolean;
  readonly required: boolean;
  /** Since when it has been so; RFC 3339. */
  readonly since: string;
  /** What is wrong; null if nothing is. */
  readonly error: string | null;
  /** What was last wrong, and when that was last seen; null if nothing ever was. */
  readonly lastError: { readonly error: string; readonly at: string } | null;
}

/** Whether the sidecar can do its work, and what stands in its way. */
export interface Readiness {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, CheckState>>;
}

/** Whether the sidecar can do its work, as of the moment of asking; nothing has to be reset when it can again. */
export function createReadiness(checks: Readonly<Record<string, HealthCheck>>): () => Promise<Readiness> {
  const states = new Map<string, CheckState>();
  const ask = async ([name, { required, look }]: [string, HealthCheck]): Promise<[string, CheckState]> => {
    const { error, since } = await look();
    const before = states.get(name);
    const ok = error === null;
    const now = new Date().toISOString();
    const state: CheckState = {
      ok,
      required,
      since: since === undefined ? (before?.ok === ok ? before.since : now) : new Date(since).toISOString(),
      error,
      lastError: error === null ? (before?.lastError ?? null) : { error, at: now },
    };
    states.set(name, state);
    return [name, state];
  };
  return async () => {
    const asked = await Promise.all(Object.entries(checks).map(ask));
    return {
      ready: asked.every(([, { ok, required }]) => ok || !required),
      checks: Object.fromEntries(asked),
    };
  };
}

/** How long Redis may take to answer. */
const REDIS_ANSWER_MS = 1_000;

/** Whether Redis answers. */
export function redisCheck(redis: RedisClient): HealthCheck {
  return {
    required: true,
    async look() {
      if (redis.status !== 'ready') return { error: `the connection is ${redis.status}` };
      return await inTime(redis.ping(), REDIS_ANSWER_MS).then(
        () => ({ error: null }),
        ({ message }: Error) => ({ error: message }),
      );
    },
  };
}

/** Whether CFW and IAM refuse our credentials; what was never tried counts as good. */
export function credentialsCheck(state: () => CredentialState): HealthCheck {
  return {
    required: true,
    look() {
      const current = state();
      const { since } = current;
      if (current.state !== 'refused') return { error: null, since };
      return { error: `${current.refusal.code}: ${current.refusal.message}`, since };
    },
  };
}

/** So many calls in a row without an answer of CFW, and CFW counts as away. */
const AWAY_AFTER = 3;

/**
 * Whether CFW answers, by the calls that are made anyway. It is not required: no other sidecar could do better, and jobs
 * wait for CFW.
 */
export function cfwCheck(): { check: HealthCheck; answered: (answer: PollAnswer) => void } {
  let failures = 0;
  let since = Date.now();
  let error: string | null = null;
  return {
    answered(answer) {
      // No call was made.
      if (answer.kind === 'withheld') return;
      if (answer.kind !== 'transient') {
        if (error !== null) since = Date.now();
        failures = 0;
        error = null;
        return;
      }
      failures += 1;
      if (failures < AWAY_AFTER) return;
      if (error === null) since = Date.now();
      error = `${answer.code}: ${answer.message}`;
    },
    check: { required: false, look: () => ({ error, since }) },
  };
}

/** Redis may refuse writes for this long before the sidecar is unready, in milliseconds: a failover takes some seconds. */
const REFUSAL_LIMIT_MS = 3_000;

/** Whether Redis accepts writes: else nothing can be published. */
export function writesCheck(
  refusal: () => { readonly since: number; readonly message: string } | undefined,
): HealthCheck {
  return {
    required: true,
    look() {
      const current = refusal();
      const refusedMs = current === undefined ? 0 : performance.now() - current.since;
      if (current === undefined || refusedMs < REFUSAL_LIMIT_MS) return { error: null };
      return { error: `Redis refuses writes: ${current.message}`, since: Date.now() - refusedMs };
    },
  };
}

/** So long with jobs that are due and may be taken, and none taken, is no hiccup. */
const STUCK_MS = 5_000;
/** Something is wrong after so long: a restart, or jobs of a killed worker, take less. */
const OVERDUE_LIMIT_MS = 60_000;

/** How the worker stands; zeros if there is none yet. */
export interface WorkerView {
  /** For how long the job that has been due for longest has waited, in milliseconds; 0 if none is due. */
  readonly overdueMs: number;
  /** For how long jobs have been due that may be taken, and none was, in milliseconds. */
  readonly stuckMs: number;
}

/**
 * Whether jobs are taken when they are due: a worker can look connected and take none. One that is stuck restarts by
 * itself, and its own measure with it, so this continues from there until a job moves.
 */
export function queueCheck(worker: () => WorkerView): { check: HealthCheck; moved: () => void } {
  let stuckSince: number | undefined;
  return {
    moved() {
      stuckSince = undefined;
    },
    check: {
      required: true,
      look() {
        const { overdueMs, stuckMs } = worker();
        const now = Date.now();
        if (overdueMs === 0) stuckSince = undefined;
        else if (stuckMs >= STUCK_MS) stuckSince ??= now - stuckMs;
        if (stuckSince === undefined || now - stuckSince < OVERDUE_LIMIT_MS) return { error: null };
        return {
          error: `jobs have been due for ${formatDuration(overdueMs)} and may be taken, but no worker here takes them`,
          since: stuckSince,
        };
      },
    },
  };
}
