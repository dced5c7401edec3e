import { html } from 'hono/html';
import type { CfwJobStatus } from '../../../queue/index.js';
import { actionHref, type Html, lastAnswer, layout, stateBadge, time } from './layout.js';

/** The page of one job: how it stands, its way, its event. */
export function jobPage(job: CfwJobStatus, writable: boolean): Html {
  const { projectId, jobId, watchId, state, event } = job;
  const isOpen = state === 'queued' || state === 'polling';
  return layout(
    `Job ${jobId}`,
    '',
    html`<section id="job" aria-label="Where it stands" data-live>
<dl class="facts">
<div><dt>state</dt><dd>${stateBadge(state)}</dd></div>
<div><dt>project</dt><dd class="id">${projectId}</dd></div>
${watchId === null ? '' : html`<div><dt>watch</dt><dd class="id">${watchId}</dd></div>`}
<div><dt>polls</dt><dd>${job.polls ?? '–'}</dd></div>
<div><dt>last answer</dt><dd>${lastAnswer(job)}</dd></div>
</dl>
<h2>Its way</h2>
<ol class="way">${wayOf(job)}</ol>
${errorsOf(job)}
<h2>Event</h2>
${
  event === null
    ? html`<p>${isOpen ? 'None yet.' : 'It has been trimmed from the stream.'}</p>`
    : html`<pre tabindex="0" aria-label="The event as JSON">${JSON.stringify(event, null, 2)}</pre>`
}
</section>
${
  writable
    ? html`<p class="actions">${
        isOpen
          ? html`<a class="button" href="${actionHref(job, 'cancel')}">Cancel</a>`
          : html`<a class="button" href="${actionHref(job, 'again')}">Watch again</a>`
      }</p>`
    : ''
}
<p><a href="/">All jobs</a></p>`,
  );
}

function wayOf({ enqueuedAt, polls, lastPollAt, nextPollAt, cfwStatus, event }: CfwJobStatus): Html[] {
  const { beginTime = null, endTime = null, reason = null, message = null } = event?.data ?? {};
  const step = (name: string, iso: string | null, note = '') =>
    iso === null ? html`` : html`<li><strong>${name}</strong> ${time(iso)}${note === '' ? '' : html` – ${note}`}</li>`;
  return [
    step('Enqueued', enqueuedAt),
    step('Began at CFW', beginTime),
    step('Last poll', lastPollAt, `${polls ?? 0} so far${cfwStatus === null ? '' : `; CFW said ${cfwStatus}`}`),
    step('Next poll', nextPollAt),
    step('Ended at CFW', endTime),
    step('Event', event?.time ?? null, [reason, message].filter(Boolean).join(': ') || 'completed'),
  ];
}

function errorsOf({ lastError, event }: CfwJobStatus): Html {
  const counts = Object.entries(event?.data.errorCounts ?? {});
  if (lastError === null && counts.length === 0) return html``;
  return html`<h2>Failed calls</h2>
${lastError === null ? '' : html`<p>Last: <code>${lastError.code}</code> ${lastError.message}${lastError.requestId == null ? '' : html` (request ${lastError.requestId})`}</p>`}
${counts.length === 0 ? '' : html`<ul>${counts.map(([code, count]) => html`<li><code>${code}</code> × ${count}</li>`)}</ul>`}`;
}

/** Asks before something is done. `fields` are sent along. */
export function confirmPage(
  title: string,
  text: string,
  action: string,
  button: string,
  back: string,
  fields: Readonly<Record<string, string>> = {},
): Html {
  return layout(
    title,
    '',
    html`<p>${text}</p>
<form method="post" action="${action}" class="confirm">
${Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)}
<button>${button}</button> <a href="${back}">Go back</a>
</form>`,
  );
}
