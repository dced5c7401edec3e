import { monitorEventLoopDelay } from 'node:perf_hooks';

/** What a process has used since it was last asked. */
export interface Usage {
  /** Milliseconds since the last time. */
  readonly wallMs: number;
  /** Processor time of this process, user and system. */
  readonly cpuMs: number;
  readonly rssMb: number;
  /** How much later than asked for the event loop came round, 99th percentile and worst. */
  readonly loopDelayP99Ms: number;
  readonly loopDelayMaxMs: number;
}

const RESOLUTION_MS = 5;

/** Measures this process. @returns what was used since the last call. */
export function usageMeter(): () => Usage {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  let cpu = process.cpuUsage();
  let at = performance.now();
  return () => {
    const used = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    const now = performance.now();
    // The histogram holds the time between two ticks.
    const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    const usage = {
      wallMs: now - at,
      cpuMs: (used.user + used.system) / 1_000,
      rssMb: process.memoryUsage.rss() / 2 ** 20,
      loopDelayP99Ms: late(delay.percentile(99)),
      loopDelayMaxMs: late(delay.max),
    };
    at = now;
    delay.reset();
    return usage;
  };
}
