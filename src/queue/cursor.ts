import * as z from 'zod';
import type { CfwJobState } from './job-status.js';

/** A cursor is not one that a list has given. */
export class InvalidCursorError extends Error {
  override readonly name = 'InvalidCursorError';
  readonly code = 'INVALID_CURSOR';
}

/** Where a list can be: the places of queued jobs, those of jobs that are polled, and the stream. */
const PHASES = ['wait', 'prioritized', 'delayed', 'polled-wait', 'polled-prioritized', 'due', 'ended'] as const;
export type Phase = (typeof PHASES)[number];
const QUEUED: readonly Phase[] = ['wait', 'prioritized', 'delayed'];
export const POLLING: readonly Phase[] = ['polled-wait', 'polled-prioritized', 'due'];

const cursorSchema = z.tuple([
  z.enum(PHASES),
  z.string().regex(/^(\d{1,20}(\.\d{1,20})?(e\+\d{1,3})?|\d{1,20}-\d{1,20})?$/i),
  z.string().max(1_024),
]);
/** A phase, a position in it, and the job or entry that was looked at last. */
export type Cursor = z.output<typeof cursorSchema>;

/** The places of jobs in a state, in the order of the list. */
export function phasesOf(state: CfwJobState | undefined): readonly Phase[] {
  switch (state) {
    case undefined:
      return PHASES;
    case 'queued':
      return QUEUED;
    case 'polling':
      return POLLING;
    default:
      return ['ended'];
  }
}

/** The beginning of a phase. */
export const start = (phase: Phase): Cursor => [phase, '', ''];

/** A cursor as clients get it. */
export function encode(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url');
}

/**
 * Reads a cursor that a client has given back.
 *
 * @throws {InvalidCursorError} if it is not one of a list of these phases.
 */
export function decode(text: string, phases: readonly Phase[]): Cursor {
  let parsed: unknown;
  let cause: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch (error) {
    cause = error;
  }
  const { data, error } = cursorSchema.safeParse(parsed);
  if (data === undefined || !phases.includes(data[0])) {
    throw new InvalidCursorError('cursor is invalid: expected the "next" of a page of the same list', {
      cause: cause ?? error,
    });
  }
  return data;
}
