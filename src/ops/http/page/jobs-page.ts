import { html } from 'hono/html';
import { formatDuration } from '../../../lib/duration.js';
import { CFW_JOB_STATES, type CfwListedJob, type QueueState } from '../../../queue/index.js';
import type { Readiness } from '../../health.js';
import { actionHref, type Html, jobHref, lastAnswer, layout, stateBadge, time } from './layout.js';
import type { PageSources } from './sources.js';

/** What the page of jobs shows. */
export interface JobsView {
  readonly filter: { readonly state?: string; readonly projectId?: string; readonly jobId?: string };
  readonly jobs: readonly CfwListedJob[];
  readonly next: string | null;
  readonly isFirst: boolean;
  /** Undefined while Redis does not answer. */
  readonly queue: QueueState | undefined;
  readonly events: number | undefined;
  readonly readiness: Readiness;
  readonly sources: PageSources;
  readonly writable: boolean;
  readonly projectId: string | undefined;
}

/** The page of jobs. */
export function jobsPage(view: JobsView): Html {
  return layout(
    'Jobs',
    '/',
    html`${overview(view)}
${view.writable ? enqueueForm(view) : ''}
${filterForm(view)}
${jobsTable(view)}`,
  );
}

function overview({ readiness, queue, events, sources }: JobsView): Html {
  const backlog = sources.backlog();
  const { ratePerSecond } = sources;
  const share = sources.share?.();
  const fact = (label: string, value: unknown, note = '') =>
    html`<div><dt>${label}</dt><dd>${value}${note === '' ? '' : html` <small>${note}</small>`}</dd></div>`;
  const broken = Object.entries(readiness.checks).filter(([, { ok }]) => !ok);
  const rate = sources.callsPerSecond().toFixed(1);
  const limit = ratePerSecond === 0 ? 'no limit' : `of ${ratePerSecond} for all processes`;
  return html`<section id="overview" aria-label="Overview" data-live>
<p class="ready ${readiness.ready ? 'yes' : 'no'}"><strong>${readiness.ready ? 'Ready' : 'Not ready'}</strong>${
    broken.length === 0 ? '' : html`: ${broken.map(([name, { error }]) => html`<span>${name}: ${error}. </span>`)}`
  }</p>
<dl class="facts">
${
  queue === undefined
    ? fact('Redis', 'does not answer')
    : html`${fact('waiting', queue.jobs.waiting + queue.jobs.prioritized, 'for a worker')}
${fact('with workers', queue.jobs.active)}
${fact('parked', queue.jobs.delayed, 'until they are due')}
${fact('ended', events ?? '–', 'on the stream')}`
}
${fact('backlog', formatDuration(backlog?.overdueMs ?? 0), 'the oldest due job waits')}
${fact('calls', `${rate}/s`, share === undefined ? limit : `share ${share.toFixed(1)}/s ${limit}`)}
${(queue?.holdBackMs ?? 0) > 0 ? fact('cool-down', formatDuration(queue?.holdBackMs ?? 0), 'CFW asked for it') : ''}
${backlog?.paused === true ? fact('queue', 'paused') : ''}
</dl>
</section>`;
}

function filterForm({ filter, projectId }: JobsView): Html {
  const option = (value: string, label = value) =>
    html`<option value="${value}" ${(filter.state ?? '') === value ? html`selected` : ''}>${label}</option>`;
  return html`<form class="filter" method="get" action="/" role="search" aria-label="Filter jobs">
<label>State <select name="state">${option('', 'all')}${CFW_JOB_STATES.map((state) => option(state))}</select></label>
<label>Project <input name="projectId" value="${filter.projectId ?? ''}" placeholder="${projectId ?? 'all'}" autocomplete="off" spellcheck="false"></label>
<label>Job id <input name="jobId" value="${filter.jobId ?? ''}" autocomplete="off" spellcheck="false"></label>
<button>Filter</button>
<a href="/">Clear</a>
</form>`;
}

function jobsTable({ jobs, next, isFirst, filter, writable }: JobsView): Html {
  const query = new URLSearchParams({ ...filter, ...(next === null ? {} : { cursor: next }) });
  return html`<section id="jobs" aria-label="List of jobs" data-live>
<div class="scroll" role="region" aria-label="Jobs" tabindex="0">
<table>
<caption>Jobs: queued, then polling, then ended</caption>
<thead><tr>
<th scope="col">State</th><th scope="col">Job</th><th scope="col" class="wide">Project</th><th scope="col" class="wide number">Age</th>
<th scope="col" class="number">Polls</th><th scope="col" class="number">Next poll</th><th scope="col" class="wide">Last answer</th>
${writable ? html`<th scope="col">Action</th>` : ''}
</tr></thead>
<tbody>${jobs.map((job) => jobRow(job, writable))}</tbody>
</table>
</div>
${jobs.length === 0 ? html`<p class="none">${next === null ? 'No jobs here.' : 'No jobs on this part of the list.'}</p>` : ''}
<p class="pages">${isFirst ? '' : html`<a href="/?${new URLSearchParams(filter)}">First page</a>`}
${next === null ? '' : html`<a href="/?${query}">Next page</a>`}</p>
</section>`;
}

function jobRow(job: CfwListedJob, writable: boolean): Html {
  const { jobId, projectId, watchId, state, polls, enqueuedAt, nextPollAt, event } = job;
  const end = event === null ? Date.now() : Date.parse(event.time);
  const age = enqueuedAt === null ? '–' : formatDuration(Math.max(0, end - Date.parse(enqueuedAt)));
  const isNamed = jobId !== null && projectId !== null && !event?.id.startsWith('bullmq:');
  const name = html`<span class="id">${jobId ?? event?.id ?? 'invalid data'}</span>${watchId === null ? '' : html` <small>watch ${watchId}</small>`}`;
  const isOpen = state === 'queued' || state === 'polling';
  return html`<tr>
<td>${stateBadge(state)}</td>
<td>${isNamed ? html`<a href="${jobHref(job)}">${name}</a>` : name}</td>
<td class="wide"><span class="id">${projectId ?? '–'}</span></td>
<td class="wide number">${age}</td>
<td class="number">${polls ?? '–'}</td>
<td class="number">${nextPollAt === null ? '–' : Date.parse(nextPollAt) <= Date.now() ? 'due' : time(nextPollAt)}</td>
<td class="wide">${lastAnswer(job)}</td>
${writable ? html`<td>${isOpen && isNamed ? html`<a href="${actionHref(job, 'cancel')}" aria-label="Cancel ${jobId}">Cancel</a>` : ''}</td>` : ''}
</tr>`;
}

function enqueueForm({ projectId }: JobsView): Html {
  return html`<details class="enqueue"><summary>Enqueue a job</summary>
<form method="post" action="/jobs">
<label>Project <input name="projectId" value="${projectId ?? ''}" required pattern="[A-Za-z0-9_\\-]{1,64}" autocomplete="off" spellcheck="false"></label>
<label>Job id <input name="jobId" required pattern="[A-Za-z0-9_\\-]{1,64}" autocomplete="off" spellcheck="false"></label>
<label>Timeout <input name="timeout" placeholder="POLL_TIMEOUT, or 30m" autocomplete="off"></label>
<label>Metadata <textarea name="metadata" rows="2" placeholder="a JSON object" spellcheck="false"></textarea></label>
<button>Continue</button>
</form></details>`;
}
