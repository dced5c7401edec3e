import { readdirSync, readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';

/** Processor time that a process has used, in milliseconds, from outside of it. */
export function cpuMs(pid: number): number {
  // The scheduler counts nanoseconds for each thread; an idle sidecar is below the 10 ms ticks of /proc/pid/stat.
  const task = `/proc/${pid}/task`;
  let nanoseconds = 0;
  for (const thread of readdirSync(task)) nanoseconds += Number(read(`${task}/${thread}/schedstat`).split(' ')[0]);
  return nanoseconds / 1e6;
}

/** Processor time of the whole machine, in milliseconds: what disturbs a measurement shows in it. */
export function machineCpuMs(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (
    read('/proc/stat').split('\n')[0] ?? ''
  )
    .split(/\s+/)
    .map(Number);
  // In ticks of 10 ms.
  return (user + nice + system + irq + softirq + steal) * 10;
}

export function rssMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1]) / 1_024;
}

/** What Redis has done since it was started. */
export interface RedisWork {
  /** Processor time of its main thread, in milliseconds. */
  readonly cpuMs: number;
  /** Commands, those inside scripts too. */
  readonly commands: number;
  /** Scripts run. */
  readonly scripts: number;
}

/** Reads Redis's own figures; the reading itself is not among them. */
export async function redisWork(redis: Redis): Promise<RedisWork> {
  const info = await redis.info('everything');
  const seconds = (name: string) => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)?.[1]);
  let commands = 0;
  let scripts = 0;
  for (const [, name = '', calls] of info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
    if (name !== 'info') commands += Number(calls);
    if (/^(evalsha|eval|fcall)(_ro)?$/.test(name)) scripts += Number(calls);
  }
  return {
    cpuMs: (seconds('used_cpu_user_main_thread') + seconds('used_cpu_sys_main_thread')) * 1_000,
    commands,
    scripts,
  };
}

/** A process or thread that ends between listing and reading counts nothing. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '0';
  }
}
