// Makes a fresh machine ready for `npm run demo` and `npm test`: node_modules as the lock file says, and a redis-server.
// Uses nothing but Node, since nothing else may be there yet. Quick when there is nothing to do.
// With --all it also installs what some tests need, and are skipped without: promtool and Chromium.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

installNodeModules();
installRedisServer();
if (process.argv.includes('--all')) installForAllTests();

function installNodeModules() {
  if (isInstalled()) return;
  say('installing node_modules (npm ci)');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  run(npm, ['ci', '--include=dev', '--no-audit', '--no-fund'], { cwd: root, shell: process.platform === 'win32' }) ||
    fail('npm ci failed; its output above says why');
}

/** npm writes down what it installed; that and the folders being there tells without asking npm, which takes seconds. */
function isInstalled() {
  const read = (path) => JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
  let wanted;
  let installed;
  try {
    wanted = read('package-lock.json');
    installed = read('node_modules/.package-lock.json');
  } catch {
    return false;
  }
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === '') return true;
    // Packages for other platforms are in the lock file, but not installed.
    if (installed[path] === undefined) return optional === true;
    return installed[path].version === version && existsSync(join(root, path, 'package.json'));
  });
}

function installRedisServer() {
  if (works('redis-server', ['--version'])) return;
  if (works('apt-get', ['--version'])) {
    installDebianPackage('redis-server', 'redis-server');
  } else if (works('brew', ['--version'])) {
    say('installing redis (brew)');
    run('brew', ['install', 'redis']);
  }
  if (!works('redis-server', ['--version'])) {
    fail('redis-server is not installed and could not be installed here; install Redis 7.0 or newer and try again');
  }
}

/** promtool is part of Debian's package prometheus. */
function installForAllTests() {
  for (const [program, name, service] of [
    ['promtool', 'prometheus', 'prometheus'],
    ['/usr/bin/chromium', 'chromium', undefined],
  ]) {
    if (works(program, ['--version'])) continue;
    if (works('apt-get', ['--version'])) installDebianPackage(name, service);
    if (!works(program, ['--version'])) say(`${program} is not installed here; the tests that need it are skipped`);
  }
}

function installDebianPackage(name, service) {
  const sudo = process.getuid?.() === 0 ? [] : works('sudo', ['-n', 'true']) ? ['sudo', '-n'] : undefined;
  if (sudo === undefined) return;
  say(`installing ${name} (apt-get)`);
  withoutStartingServices(sudo, service, () => {
    const apt = (...args) => run(...command(sudo, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', ...args));
    // Package lists may be missing or old; a mirror that is away need not matter.
    apt('update');
    apt('install', '-y', '--no-install-recommends', name);
  });
}

/**
 * Debian's packages start their services and enable them. The project starts its own, private ones, so this leaves the
 * machine without: policy-rc.d (see invoke-rc.d(8)) forbids the start, and the service is disabled after.
 */
function withoutStartingServices(sudo, service, install) {
  // Ctrl-C ends apt-get; we still have to take the policy away again.
  process.once('SIGINT', () => process.exit(130));
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) {
    if (sudo.length === 0) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    else run(...command(sudo, 'sh', '-c', `printf '#!/bin/sh\\nexit 101\\n' > ${policy} && chmod 755 ${policy}`));
  }
  try {
    install();
  } finally {
    if (ours) {
      if (sudo.length === 0) rmSync(policy, { force: true });
      else run(...command(sudo, 'rm', '-f', policy));
    }
    if (service !== undefined && existsSync('/run/systemd/system')) {
      run(...command(sudo, 'systemctl', 'disable', '--now', service));
    }
  }
}

function command(sudo, ...words) {
  const [program, ...args] = [...sudo, ...words];
  return [program, args];
}

function works(program, args) {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

function run(program, args, options = {}) {
  return spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'], ...options }).status === 0;
}

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}
