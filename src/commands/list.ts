import type { BaseConfig } from '../config/index.js';
import { formatDuration } from '../lib/duration.js';
import { type CfwJobState, type CfwListedJob, MAX_LIMIT } from '../queue/index.js';
import { withProducer } from './producer.js';
import type { Terminal } from './terminal.js';

/** Options of `list`. */
export interface ListOptions {
  readonly state: CfwJobState | undefined;
  readonly project: string | undefined;
  /** Jobs at most. */
  readonly limit: number;
  /** One JSON object a line. */
  readonly json: boolean;
}

/** Prints jobs: queued ones, then polling ones, then ended ones. */
export async function list(config: BaseConfig, options: ListOptions, terminal: Terminal): Promise<void> {
  const { state, project, limit, json } = options;
  await withProducer(config, async (producer) => {
    if (!json && terminal.isTerminal) terminal.print(terminal.style('dim', HEADER));
    let cursor: string | undefined;
    let left = limit;
    do {
      const page = await producer.list({ state, projectId: project, limit: Math.min(left, MAX_LIMIT), cursor });
      for (const job of page.jobs) terminal.print(json ? JSON.stringify(job) : jobLine(job, terminal));
      left -= page.jobs.length;
      cursor = page.next ?? undefined;
    } while (cursor !== undefined && left > 0);
  });
}

const columns = (state: string, polls: string, age: string, next: string, answer: string, job: string) =>
  `${state.padEnd(9)}  ${polls.padStart(5)}  ${age.padStart(7)}  ${next.padStart(9)}  ${answer.padEnd(15)}  ${job}`;

const HEADER = columns('STATE', 'POLLS', 'AGE', 'NEXT POLL', 'LAST ANSWER', 'PROJECT/JOB');

const COLOURS = { queued: 'cyan', polling: 'cyan', completed: 'green', failed: 'red' } as const;

/** The age is the time since enqueueing, of an ended job until its event. */
function jobLine(job: CfwListedJob, { style }: Pick<Terminal, 'style'>): string {
  const { state, projectId, jobId, watchId, polls, enqueuedAt, nextPollAt, event } = job;
  const end = event === null ? Date.now() : Date.parse(event.time);
  const age = enqueuedAt === null ? '-' : formatDuration(Math.max(0, end - Date.parse(enqueuedAt)));
  const dueMs = nextPollAt === null ? undefined : Date.parse(nextPollAt) - Date.now();
  const next = dueMs === undefined ? '-' : dueMs <= 0 ? 'due' : `in ${formatDuration(dueMs)}`;
  const answer = event?.data.reason ?? job.lastError?.code ?? job.cfwStatus ?? '-';
  const name = jobId === null ? (event?.id ?? 'invalid data') : `${projectId ?? '-'}/${jobId}`;
  const watch = watchId === null ? '' : `  watch ${watchId}`;
  return columns(state, String(polls ?? '-'), age, next, answer, `${name}${watch}`).replace(
    state,
    style(COLOURS[state], state),
  );
}
