const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The longest duration: Node fires a timer of more than 2^31 - 1 ms (24.8 days) at once. */
export const MAX_DURATION_MS = 24 * UNITS.d;

/** What a duration looks like, for error messages and help texts. */
export const DURATION_FORM = '250ms, 10s, 5m, 2h, 7d or a bare number of milliseconds, at most 24d';

/**
 * Reads a duration such as `250ms`, `10s`, `1.5h` or `7d`; a bare number counts milliseconds.
 *
 * @returns whole milliseconds, or `undefined` where the text is no duration or one of more than 24 days.
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim());
  if (match === null) return undefined;
  const unit = (match[2] ?? 'ms') as keyof typeof UNITS;
  const milliseconds = Math.round(Number(match[1]) * UNITS[unit]);
  return milliseconds <= MAX_DURATION_MS ? milliseconds : undefined;
}

/** Writes milliseconds for people: `850ms`, `4.2s`, `3m05s`, `2h07m`, `3d04h`. */
export function formatDuration(milliseconds: number): string {
  if (Math.round(milliseconds) < 1_000) return `${Math.round(milliseconds)}ms`;
  const tenths = Math.round(milliseconds / 100);
  if (tenths < 600) return `${(tenths / 10).toFixed(1)}s`;
  const two = (n: number) => String(n).padStart(2, '0');
  const seconds = Math.round(milliseconds / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1_440) return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)}d${two(hours % 24)}h`;
}
