// Packs the built package once for all tests of this suite, as `npm publish` would.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export default function pack() {
  const folder = mkdtempSync(join(tmpdir(), 'cfw-job-poller-packed-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  // The build has been made by the npm script that runs this suite.
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder];
  const name = execFileSync('npm', args, { encoding: 'utf8' }).trim();
  process.env.PACKED_TARBALL = join(folder, name);
}
