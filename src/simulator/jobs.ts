import { randomUUID } from 'node:crypto';
import * as z from 'zod';
import { ID_PATTERN } from '../lib/id.js';
import { type Fault, FaultScript, faultSchema } from './faults.js';
import { logNormal } from './random.js';

const id = z.string().regex(ID_PATTERN);
/** Four-digit years are all that RFC 3339 knows. */
const time = z
  .int()
  .min(0)
  .max(Date.UTC(9_999, 11, 31));

/** A job as the control surface takes it; what is left out is drawn. */
export const jobScriptSchema = z
  .object({
    projectId: id,
    jobId: id.optional(),
    /** How long it runs, in milliseconds. */
    durationMs: z.number().min(0).optional(),
    outcome: z.enum(['Success', 'Failed']).optional(),
    /** Times to tell in place of the real ones, in epoch milliseconds. */
    beginTime: time.optional(),
    endTime: time.optional(),
    /** How times are written: epoch milliseconds, `…Z`, or `…+0800`. */
    timeFormat: z.enum(['epoch', 'utc', 'offset']).optional(),
    /** What goes wrong, one after the other. */
    faults: z.array(faultSchema).default([]),
  })
  .strict();

export type JobScript = z.input<typeof jobScriptSchema>;

/** How jobs are drawn that are not scripted. */
export interface Drawing {
  /** Median of the log-normal durations, in milliseconds. */
  readonly medianMs: number;
  /** Their sigma: 0.35 is what firewalls look like. */
  readonly sigma: number;
  /** Share of jobs that fail, from 0 to 1. */
  readonly failureShare: number;
  readonly random: () => number;
}

/** A job of the simulator. */
export class SimulatedJob {
  readonly projectId: string;
  readonly jobId: string;
  readonly outcome: 'Success' | 'Failed';
  readonly beginTime: number;
  readonly endTime: number;
  /** Calls for it, faults included, and when they came; epoch milliseconds. */
  readonly callTimes: number[] = [];
  readonly #createdAt = Date.now();
  readonly #durationMs: number;
  readonly #timeFormat: 'epoch' | 'utc' | 'offset';
  readonly #faults: FaultScript;

  constructor(script: JobScript, drawing: Drawing) {
    const { faults, ...given } = jobScriptSchema.parse(script);
    const drawn = draw(drawing);
    this.projectId = given.projectId;
    this.jobId = given.jobId ?? randomUUID();
    this.outcome = given.outcome ?? drawn.outcome;
    this.#durationMs = given.durationMs ?? drawn.durationMs;
    this.beginTime = given.beginTime ?? this.#createdAt;
    this.endTime = given.endTime ?? Math.round(this.#createdAt + this.#durationMs);
    this.#timeFormat = given.timeFormat ?? drawn.timeFormat;
    this.#faults = new FaultScript(faults);
  }

  /** When it ends (or ended), by this machine's clock. */
  get endsAt(): number {
    return this.#createdAt + this.#durationMs;
  }

  /** What CFW would say of it now. */
  answer(): { data: { id: string; status: string; begin_time: unknown; end_time?: unknown } } {
    const ended = Date.now() >= this.endsAt;
    // A job that runs has an end_time that is missing, null or empty; all three occur.
    const noEnd = { epoch: {}, utc: { end_time: null }, offset: { end_time: '' } }[this.#timeFormat];
    return {
      data: {
        id: this.jobId,
        status: ended ? this.outcome : 'Running',
        begin_time: this.#format(this.beginTime),
        ...(ended ? { end_time: this.#format(this.endTime) } : noEnd),
      },
    };
  }

  /** Counts a call, and tells what has to go wrong with it. */
  call(): Fault | undefined {
    this.callTimes.push(Date.now());
    return this.#faults.next();
  }

  toJSON() {
    const { projectId, jobId, outcome, callTimes, endsAt } = this;
    const [firstCallAt = null] = callTimes;
    const lastCallAt = callTimes.at(-1) ?? null;
    return { projectId, jobId, outcome, endsAt, calls: callTimes.length, firstCallAt, lastCallAt };
  }

  #format(time: number): number | string {
    switch (this.#timeFormat) {
      case 'epoch':
        return time;
      case 'utc':
        return `${new Date(time).toISOString().slice(0, 19)}Z`;
      default:
        return `${new Date(time + 8 * 3_600_000).toISOString().slice(0, 19)}+0800`;
    }
  }
}

function draw({ medianMs, sigma, failureShare, random }: Drawing) {
  return {
    durationMs: logNormal(medianMs, sigma, random),
    outcome: random() < failureShare ? ('Failed' as const) : ('Success' as const),
    timeFormat: (['epoch', 'utc', 'offset'] as const)[Math.floor(random() * 3)] ?? 'epoch',
  };
}
