/** `npm run bench [section…]`: measures, prints tables, and writes them to bench/results/. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, totalmem } from 'node:os';
import { credentials } from './credentials.js';
import { inFlight } from './in-flight.js';
import { limiter } from './limiter.js';
import { noticing } from './noticing.js';
import { table } from './numbers.js';
import { operator } from './operator.js';
import { quota } from './quota.js';
import { changes, coldStarts, quotas, schedules } from './schedules.js';
import { Setting } from './setting.js';
import { shutdown } from './shutdown.js';
import { subscriber } from './subscriber.js';
import { throughput } from './throughput.js';

const SECTIONS = {
  throughput,
  'in-flight': inFlight,
  noticing,
  limiter,
  shutdown,
  operator,
  subscriber,
  quota,
  credentials,
  // These simulate; nothing of the engine runs in them.
  schedules,
  'cold-start': coldStarts,
  change: changes,
  'quota-simulated': quotas,
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(SECTIONS, name));
if (unknown.length > 0) {
  process.stderr.write(`no section ${unknown.join(', ')}; there are ${Object.keys(SECTIONS).join(', ')}\n`);
  process.exit(2);
}
const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model} (${arch()}), ${Math.round(totalmem() / 2 ** 30)} GiB`;
process.stdout.write(`${machine}\n`);
mkdirSync('bench/results', { recursive: true });
for (const [name, section] of Object.entries(SECTIONS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const setting = await Setting.start();
  try {
    const { rows, conclusions } = await section(setting);
    process.stdout.write(`\n${name}\n${table(rows)}\n${conclusions.map((line) => `${line}\n`).join('')}`);
    writeFileSync(`bench/results/${name}.json`, `${JSON.stringify({ machine, rows, conclusions }, null, 2)}\n`);
  } finally {
    await setting.stop();
  }
}
process.exit();
