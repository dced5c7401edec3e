// Keeps the page up to date. Without it, or without JavaScript, the page shows the same and is reloaded by hand.

const REFRESH_MS = 5_000;
const SOONEST_MS = 500;
const status = document.getElementById('live');
const isPlain = document.querySelector('[data-live]') === null;
let timer;
let dueAt = Number.POSITIVE_INFINITY;
let ended = 0;

/** Replaces the parts that change by those of the page as it is now, and leaves the focus where it was. */
async function refresh() {
  try {
    const response = await fetch(location.href, { headers: { accept: 'text/html' } });
    if (!response.ok) throw new Error(String(response.status));
    const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
    for (const part of document.querySelectorAll('[data-live]')) {
      const now = fresh.getElementById(part.id);
      if (now === null || now.innerHTML === part.innerHTML) continue;
      const { activeElement } = document;
      const href = part.contains(activeElement) ? activeElement.getAttribute('href') : null;
      const label = part.contains(activeElement) ? activeElement.getAttribute('aria-label') : null;
      const open = [...part.querySelectorAll('details')].map((details) => details.open);
      const scrolled = part.querySelector('.scroll')?.scrollLeft ?? 0;
      part.replaceChildren(...now.childNodes);
      part.querySelectorAll('details').forEach((details, n) => {
        details.open = open[n] ?? false;
      });
      const scroll = part.querySelector('.scroll');
      if (scroll !== null) scroll.scrollLeft = scrolled;
      const again = [...part.querySelectorAll('a, [tabindex]')].find(
        (element) =>
          (href !== null && element.getAttribute('href') === href) ||
          (href === null && label !== null && element.getAttribute('aria-label') === label),
      );
      again?.focus({ preventScroll: true });
    }
  } catch {
    status.textContent = 'The sidecar does not answer.';
  }
  plan(REFRESH_MS);
}

function plan(delayMs) {
  const at = Date.now() + delayMs;
  if (at >= dueAt) return;
  clearTimeout(timer);
  dueAt = at;
  timer = setTimeout(onTimer, delayMs);
}

/** A hidden page is refreshed when it is shown again. */
function onTimer() {
  dueAt = Number.POSITIVE_INFINITY;
  if (!document.hidden) void refresh();
}

if (!isPlain) {
  const events = new EventSource('/v1/events');
  const onEvent = () => {
    ended += 1;
    status.textContent = `${ended} ${ended === 1 ? 'job has' : 'jobs have'} ended since this page was opened`;
    plan(SOONEST_MS);
  };
  events.addEventListener('cfw.job.completed', onEvent);
  events.addEventListener('cfw.job.failed', onEvent);
  events.addEventListener('open', () => {
    if (ended === 0) status.textContent = 'Live';
  });
  events.addEventListener('error', () => {
    status.textContent = 'Connecting again';
  });
  document.addEventListener('visibilitychange', () => plan(SOONEST_MS));
  plan(REFRESH_MS);
}
