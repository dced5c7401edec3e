/**
 * When to ask again: the delay until the next poll, from the time since the job was enqueued alone (both in milliseconds).
 * Being a pure function it needs no memory: a restarted worker, or another one, goes on where the last one was.
 *
 * @param failed whether the last call failed, so that it is not known whether the job still runs; most schedules do not care.
 */
export type Schedule = (elapsedMs: number, failed?: boolean) => number;
