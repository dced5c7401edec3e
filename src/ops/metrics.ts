import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { TokenOutcome } from '../client.js';
import { VERSION } from '../lib/version.js';
import type { FailureKind, FailureReason } from '../polling/index.js';
import type { JobEvents, PollJob } from '../queue/index.js';

/** What is counted in this process, in one registry. */
export interface Metrics {
  readonly registry: Registry;
  /**
   * Adds the metrics of the process. Measuring the event loop costs more CPU than an idle sidecar needs, so it begins with the
   * first scrape.
   */
  collectProcess(): void;
  /** Counts what happens to jobs from now on. */
  count(events: JobEvents): void;
  /** IAM was asked for a token. */
  tokenFetched(outcome: TokenOutcome): void;
}

/** Every series begins at 0, so that its first increase is seen as one. */
const POLL_OUTCOMES = ['running', 'success', 'failed', 'unknown_status'] as const;
const FAILURE_OUTCOMES: Readonly<Record<FailureKind, string>> = {
  transient: 'transient',
  throttled: 'throttled',
  'not-found': 'not_found',
  denied: 'denied',
  rejected: 'rejected',
  invalid: 'invalid',
  unauthorized: 'unauthorized',
  withheld: 'withheld',
};
const REASONS: readonly FailureReason[] = [
  'JOB_FAILED',
  'JOB_NOT_FOUND',
  'TIMED_OUT',
  'ACCESS_DENIED',
  'INVALID_REQUEST',
];
const TOKEN_OUTCOMES: readonly TokenOutcome[] = ['issued', 'refused', 'unreachable'];

/** More projects than this are counted together in each process: a label must not grow without end. */
const MAX_PROJECTS = 100;
const OTHER_PROJECTS = 'other';

/** Default metrics of prom-client that call a gauge a total, or repeat others by type. */
const LEFT_OUT = [
  'nodejs_active_handles',
  'nodejs_active_handles_total',
  'nodejs_active_requests',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/** The metrics of our own. */
function createInstruments(registers: Registry[], projectLabel: boolean) {
  new Gauge({
    name: 'cfw_job_poller_info',
    help: 'Always 1; its labels say what runs.',
    labelNames: ['version'],
    registers,
  }).set({ version: VERSION }, 1);
  const polls = new Counter({
    name: 'cfw_job_poller_polls_total',
    help: 'Polls by what came of them; withheld ones made no call, since the credentials are refused.',
    labelNames: projectLabel ? ['outcome', 'project'] : ['outcome'],
    registers,
  });
  const callDuration = new Histogram({
    name: 'cfw_job_poller_call_duration_seconds',
    help: 'How long polls took, getting a token included if that was needed.',
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const lateness = new Histogram({
    name: 'cfw_job_poller_poll_lateness_seconds',
    help: 'How long after they were due polls began: what they waited for a turn, a cool-down or a free slot.',
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers,
  });
  const limited = new Counter({
    name: 'cfw_job_poller_limited_total',
    help: 'Times the rate stopped a fetch, or sent a held job into the backlog for its next poll.',
    labelNames: ['what'],
    registers,
  });
  const callsUnderWay = new Gauge({
    name: 'cfw_job_poller_calls_under_way',
    help: 'Polls that wait for their answer.',
    registers,
  });
  const events = new Counter({
    name: 'cfw_job_poller_events_total',
    help: 'Ended jobs by status and reason; published is "known" if the event had been published before.',
    labelNames: projectLabel ? ['status', 'reason', 'published', 'project'] : ['status', 'reason', 'published'],
    registers,
  });
  const eventDelay = new Histogram({
    name: 'cfw_job_poller_event_delay_seconds',
    help: "From the end of a job, by CFW's clock, to the job's event.",
    buckets: [0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60, 300, 900],
    registers,
  });
  const jobDuration = new Histogram({
    name: 'cfw_job_poller_job_duration_seconds',
    help: 'From enqueueing a job to its event.',
    buckets: [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 21_600, 86_400],
    registers,
  });
  const queueErrors = new Counter({
    name: 'cfw_job_poller_queue_troubles_total',
    help: 'Things that went wrong with the queue or with publishing; the jobs stayed in the queue.',
    registers,
  });
  const tokenFetches = new Counter({
    name: 'cfw_job_poller_token_fetches_total',
    help: 'Requests for a token to IAM.',
    labelNames: ['outcome'],
    registers,
  });
  return {
    ...{ polls, callDuration, lateness, limited, callsUnderWay },
    ...{ events, eventDelay, jobDuration, queueErrors, tokenFetches },
  };
}

/**
 * Metrics by the conventions of Prometheus; no label has values that grow with jobs.
 *
 * @param options.projectLabel polls and events have a label `project`, too: the first 100 projects that this process meets,
 *   and `other`. @default false
 */
export function createMetrics({ projectLabel = false } = {}): Metrics {
  const registry = new Registry();
  const instruments = createInstruments([registry], projectLabel);
  const { polls, callDuration, lateness, limited, callsUnderWay } = instruments;
  const { events, eventDelay, jobDuration, queueErrors, tokenFetches } = instruments;

  const beginAtZero = (project: { project?: string }) => {
    for (const outcome of [...POLL_OUTCOMES, ...Object.values(FAILURE_OUTCOMES)]) polls.inc({ outcome, ...project }, 0);
    events.inc({ status: 'completed', reason: '', published: 'new', ...project }, 0);
    for (const reason of REASONS) events.inc({ status: 'failed', reason, published: 'new', ...project }, 0);
  };
  const projects = new Set<string>();
  const labelOf = ({ projectId }: Pick<PollJob, 'projectId'>): { project?: string } => {
    if (!projectLabel) return {};
    const project = projects.has(projectId) || projects.size < MAX_PROJECTS ? projectId : OTHER_PROJECTS;
    if (!projects.has(project)) beginAtZero({ project });
    projects.add(project);
    return { project };
  };
  beginAtZero({});
  for (const what of ['fetch', 'held']) limited.inc({ what }, 0);
  for (const outcome of TOKEN_OUTCOMES) tokenFetches.inc({ outcome }, 0);

  let collectsProcess = false;
  return {
    registry,
    collectProcess() {
      if (collectsProcess) return;
      collectsProcess = true;
      collectDefaultMetrics({ register: registry });
      for (const name of LEFT_OUT) registry.removeSingleMetric(name);
    },
    count(jobEvents) {
      jobEvents.on('accepted', (job) => void labelOf(job));
      jobEvents.on('calling', () => callsUnderWay.inc());
      jobEvents.on('polled', ({ job, answer, lateMs, tookMs }) => {
        const outcome = answer.kind === 'job' ? statusOutcome(answer.status) : FAILURE_OUTCOMES[answer.kind];
        polls.inc({ outcome, ...labelOf(job) });
        if (tookMs !== null) callsUnderWay.dec();
        if (tookMs === null || answer.kind === 'withheld') return;
        lateness.observe(lateMs / 1_000);
        callDuration.observe(tookMs / 1_000);
      });
      jobEvents.on('ended', ({ job, verdict, enqueuedAt, endedAt, history }, { isNew }) => {
        const reason = verdict.kind === 'failed' ? verdict.reason : '';
        events.inc({ status: verdict.kind, reason, published: isNew ? 'new' : 'known', ...labelOf(job) });
        if (!isNew) return;
        jobDuration.observe(Math.max(0, endedAt - enqueuedAt) / 1_000);
        // Clocks differ, so the event can seem to come before the end.
        const endTime = Date.parse(history.endTime ?? '');
        if (Number.isFinite(endTime)) eventDelay.observe(Math.max(0, endedAt - endTime) / 1_000);
      });
      jobEvents.on('invalid', () => events.inc({ status: 'failed', reason: 'INVALID_REQUEST', published: 'new' }));
      jobEvents.on('error', () => queueErrors.inc());
      jobEvents.on('limited', (what) => limited.inc({ what }));
    },
    tokenFetched(outcome) {
      tokenFetches.inc({ outcome });
    },
  };
}

function statusOutcome(status: string): (typeof POLL_OUTCOMES)[number] {
  switch (status) {
    case 'Running':
      return 'running';
    case 'Success':
      return 'success';
    case 'Failed':
      return 'failed';
    default:
      return 'unknown_status';
  }
}
