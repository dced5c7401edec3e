import { html } from 'hono/html';
import { formatDuration } from '../../../lib/duration.js';
import type { CfwJobState, CfwListedJob } from '../../../queue/index.js';

/** HTML whose texts are escaped. */
export type Html = ReturnType<typeof html>;

/** A whole page. */
export function layout(title: string, path: string, main: Html): Html {
  const link = (href: string, name: string) =>
    html`<a href="${href}" ${path === href ? html`aria-current="page"` : ''}>${name}</a>`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} – cfw-job-poller</title>
<link rel="icon" href="/page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page/page.css">
<script src="/page/page.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header>
<p class="brand">cfw-job-poller</p>
<nav aria-label="Pages">${link('/', 'Jobs')} ${link('/schedule', 'Schedule')}</nav>
<p id="live" class="live" role="status"></p>
</header>
<main id="main" tabindex="-1">
<h1>${title}</h1>
${main}
</main>
</body>
</html>`;
}

/** A state as a word with a colour of its own. */
export const stateBadge = (state: CfwJobState): Html => html`<span class="state ${state}">${state}</span>`;

/** The page of a job. */
export function jobHref({ projectId, jobId, watchId }: Pick<CfwListedJob, 'projectId' | 'jobId' | 'watchId'>): string {
  const watch = watchId === null ? '' : `?watchId=${watchId}`;
  return `/jobs/${projectId}/${jobId}${watch}`;
}

/** The same with a step in front of the query. */
export function actionHref(job: Parameters<typeof jobHref>[0], action: string): string {
  const [path, query] = jobHref(job).split('?');
  return `${path}/${action}${query === undefined ? '' : `?${query}`}`;
}

/** A time by how far it is from now; the exact one is its title. */
export function time(iso: string | null, none = '–'): Html {
  if (iso === null) return html`${none}`;
  const ms = Date.parse(iso) - Date.now();
  const text = ms > 0 ? `in ${formatDuration(ms)}` : `${formatDuration(-ms)} ago`;
  return html`<time datetime="${iso}" title="${iso}">${text}</time>`;
}

/** What CFW last said, or why it failed. */
export function lastAnswer({ event, lastError, cfwStatus }: CfwListedJob): string {
  return event?.data.reason ?? cfwStatus ?? lastError?.code ?? '–';
}
