import { wrongEvents } from './chaos.js';
import { median } from './numbers.js';
import { SoakSetting } from './soak-setting.js';

/** What is to be survived, and for how long. */
export interface SoakOptions {
  readonly minutes: number;
  readonly jobs: number;
  /** The same seed draws the same jobs and faults; what meets what differs all the same. */
  readonly seed: number;
  readonly say: (line: string) => void;
}

/** What came of it. */
export interface SoakResult {
  readonly events: number;
  readonly calls: number;
  readonly tookMs: number;
  /** How often each fault came. */
  readonly faults: Readonly<Record<string, number>>;
  readonly numbers: Readonly<Record<string, number>>;
  /** One line for each thing that is not as it must be. */
  readonly wrong: readonly string[];
}

/** Faults come in this part of the time; jobs are enqueued in most of that. */
const STORM = 0.85;
const ENQUEUEING = 0.75;
/** What stays open in an idle sidecar beside what it had when it was ready: a connection that Redis just needs, say. */
const MORE_FILES = 12;
const MORE_MB = 60;

/** Runs jobs through sidecars while faults of every kind come and go, and looks whether each job has exactly one right event. */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const begunAt = Date.now();
  const setting = await SoakSetting.start(options);
  try {
    const { survivor } = setting;
    await setting.ready();
    const filesAtStart = survivor.usage().files;
    const storm = new AbortController();
    const stormMs = options.minutes * 60_000 * STORM;
    const calm = setTimeout(() => storm.abort(), stormMs);
    const usages: { files: number; rssMb: number; at: number }[] = [];
    const gauge = setInterval(() => {
      if (survivor.isAlive) usages.push({ ...survivor.usage(), at: (Date.now() - begunAt) / stormMs });
    }, 1_000);
    const [jobs] = await Promise.all([
      setting.enqueue(stormMs * ENQUEUEING),
      setting.storm('redis', setting.redisFaults(), 1, storm.signal),
      setting.storm('link', setting.linkFaults(), 2, storm.signal),
      setting.storm('sidecar', setting.sidecarFaults(), 3, storm.signal),
      setting.report(storm.signal),
    ]);
    clearTimeout(calm);
    setting.clear();
    await setting.ended();
    clearInterval(gauge);
    await setting.rest();

    const { wrong } = setting;
    const entries = await setting.entries();
    wrong.push(...wrongEvents(jobs, entries));
    const rss = (from: number, to: number) =>
      median(usages.filter(({ at }) => at >= from && at < to).map(({ rssMb }) => rssMb));
    const numbers = {
      filesAtStart,
      filesAtMost: Math.max(...usages.map(({ files }) => files)),
      filesAtEnd: survivor.isAlive ? survivor.usage().files : Number.NaN,
      rssMbEarly: Math.round(rss(0.2, 0.5)),
      rssMbLate: Math.round(rss(0.7, 1)),
    };
    if (!survivor.isAlive)
      wrong.push(`the sidecar that was never killed has ended: ${survivor.tail.slice(-3).join(' ')}`);
    if (numbers.filesAtEnd > filesAtStart + MORE_FILES) {
      wrong.push(`open files grew from ${filesAtStart} to ${numbers.filesAtEnd}`);
    }
    if (numbers.rssMbLate > numbers.rssMbEarly + MORE_MB) {
      wrong.push(`memory grew from ${numbers.rssMbEarly} to ${numbers.rssMbLate} MB`);
    }
    const { faults } = setting;
    return {
      events: entries.length,
      calls: setting.simulator.calls(),
      tookMs: Date.now() - begunAt,
      faults,
      numbers,
      wrong,
    };
  } finally {
    await setting.stop();
  }
}
