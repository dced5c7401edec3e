/** `npm run bench [section…]`: measures, prints tables, and writes them to bench/results/. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, totalmem } from 'node:os';
import { credentials } from './credentials.js';
import { fleet } from './fleet.js';
import { footprint } from './footprint.js';
import { inFlight } from './in-flight.js';
import { limiter } from './limiter.js';
import { list } from './list.js';
import { noticing } from './noticing.js';
import { type Row, table } from './numbers.js';
import { operator } from './operator.js';
import { type BenchOptions, readOptions, USAGE } from './options.js';
import { quota } from './quota.js';
import { changes, coldStarts, quotas, schedules } from './schedules.js';
import { Setting } from './setting.js';
import { shutdown } from './shutdown.js';
import { subscriber } from './subscriber.js';
import { throughput } from './throughput.js';
import { waves } from './waves.js';

/** What a section found: one table, or several by their names. */
interface Found {
  readonly rows: readonly Row[];
  readonly tables?: Readonly<Record<string, readonly Row[]>>;
  readonly conclusions: readonly string[];
}

const SECTIONS: Record<string, (setting: Setting, options: BenchOptions) => Found | Promise<Found>> = {
  throughput,
  'in-flight': inFlight,
  noticing,
  footprint,
  limiter,
  fleet,
  shutdown,
  operator,
  subscriber,
  quota,
  credentials,
  list,
  // These simulate; nothing of the engine runs in them.
  schedules,
  'cold-start': coldStarts,
  change: changes,
  'quota-simulated': quotas,
  waves,
};

const options = readUsage();
const { sections: asked } = options;
const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model} (${arch()}), ${Math.round(totalmem() / 2 ** 30)} GiB`;
process.stdout.write(`${machine}\n`);
mkdirSync('bench/results', { recursive: true });
for (const [name, section] of Object.entries(SECTIONS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const setting = await Setting.start();
  try {
    const { rows, tables = { rows }, conclusions } = await section(setting, options);
    for (const [part, found] of Object.entries(tables)) {
      process.stdout.write(`\n${part === 'rows' ? name : `${name}: ${part}`}\n${table(found)}\n`);
    }
    process.stdout.write(conclusions.map((line) => `${line}\n`).join(''));
    writeFileSync(`bench/results/${name}.json`, `${JSON.stringify({ machine, ...tables, conclusions }, null, 2)}\n`);
  } finally {
    await setting.stop();
  }
}
process.exit();

function readUsage(): BenchOptions {
  try {
    const read = readOptions(process.argv.slice(2));
    const unknown = read.sections.filter((name) => !Object.hasOwn(SECTIONS, name));
    if (unknown.length === 0) return read;
    throw new Error(`no section ${unknown.join(', ')}; there are ${Object.keys(SECTIONS).join(', ')}`);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}\n`);
    process.exit(2);
  }
}
