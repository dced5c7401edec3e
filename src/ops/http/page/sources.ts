import type { Schedule } from '../../../polling/index.js';
import type { QueueInspector } from '../../../queue/index.js';
import type { Durations } from '../../../schedule/index.js';
import type { Readiness } from '../../health.js';

/** What the schedule knows, for its plot. */
export interface ScheduleView {
  readonly durations: Durations;
  /** What polls follow now. */
  readonly schedule: Schedule;
  /** What is expected of the learned schedule; undefined while polls follow the exponential backoff. */
  readonly learned: { readonly polls: number; readonly delayMs: number; readonly priceMs: number } | undefined;
}

/** Where the page gets what it shows beside the jobs. */
export interface PageSources {
  readonly readiness: () => Promise<Readiness>;
  readonly queue: Pick<QueueInspector, 'read'>;
  /** How long the oldest due job has waited, and whether the queue is paused; undefined before the worker has begun. */
  readonly backlog: () => { readonly overdueMs: number; readonly paused: boolean } | undefined;
  /** Calls a second of this process, over the last seconds. */
  readonly callsPerSecond: () => number;
  /** Calls a second that all processes together may make; 0: no limit. */
  readonly ratePerSecond: number;
  /** The part of them that this process may make now; undefined if that is not known. */
  readonly share?: () => number | undefined;
  readonly schedule: () => Promise<ScheduleView>;
}
