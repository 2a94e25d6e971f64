/**
 * Debian packages for the tests, where we may install them: as root on Debian or Ubuntu. Elsewhere, and when apt
 * fails, nothing happens but a line that says so; whoever needs the package finds it missing.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { SetupError, stopwatch, tell } from './tell.mjs';

const LISTS = '/var/lib/apt/lists';
/** Debian asks this program whether a package may start its service; 101 is no. */
const POLICY = '/usr/sbin/policy-rc.d';
/** The comment tells ours, which a killed run may have left, from an administrator's. */
const POLICY_TEXT = '#!/bin/sh\n# by drawbridge, while it installs packages for its tests\nexit 101\n';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const ENVIRONMENT = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' };
/** Somebody else's apt, as that of unattended upgrades, is waited for. */
const APT = ['-qq', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3'];

/** True where `ensureDebianPackages` can install something. */
export function canInstall() {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get');
}

/** Installs packages without starting any service. @returns whether all of them are installed now */
export function ensureDebianPackages(packages) {
  const missing = packages.filter((name) => !isInstalled(name));
  if (missing.length === 0) return true;
  if (!canInstall()) return false;
  const took = stopwatch();
  tell(`installing Debian packages for the tests: ${missing.join(' ')}`);
  const updated = !missing.every(isKnown);
  if (updated) apt('update');
  const done =
    install(missing) ||
    (!updated && apt('update') && install(missing)) ||
    // One that this distribution lacks shall not keep the others away.
    (missing.length > 1 && missing.map((name) => install([name])).every(Boolean));
  tell(done ? `installed them in ${took()}` : `apt-get could not install them; its reason stands above`);
  return done;
}

function install(packages) {
  const ours = !existsSync(POLICY) || readFileSync(POLICY, 'utf8') === POLICY_TEXT;
  // A signal waits until apt has ended: a file left behind would keep every later service on this machine down.
  for (const signal of SIGNALS) {
    if (process.listenerCount(signal) === 0) process.once(signal, () => process.kill(process.pid, signal));
  }
  if (ours) {
    writeFileSync(POLICY, POLICY_TEXT);
    chmodSync(POLICY, 0o755);
  }
  try {
    return apt('install', '-y', '--no-install-recommends', ...packages);
  } finally {
    if (ours) rmSync(POLICY, { force: true });
  }
}

/** apt says much when all goes well; only what it says when it fails is shown. @returns whether it worked */
function apt(...args) {
  const { status, signal, stdout, stderr } = spawnSync('apt-get', [...APT, ...args], {
    encoding: 'utf8',
    env: ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 ** 2,
  });
  if (signal !== null) throw new SetupError(`apt-get was stopped by ${signal}`);
  if (status !== 0) process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  return status === 0;
}

function isInstalled(name) {
  return ask('dpkg-query', '-W', '-f', '$' + '{db:Status-Status}', name) === 'installed';
}

/** False as well when the lists are empty, as in an image of a container. */
function isKnown(name) {
  if (!existsSync(LISTS) || !readdirSync(LISTS).some((file) => /_Packages(\.\w+)?$/.test(file))) return false;
  return /Candidate: (?!\(none\))/.test(ask('apt-cache', 'policy', name));
}

function ask(command, ...args) {
  return spawnSync(command, args, { encoding: 'utf8', env: ENVIRONMENT }).stdout ?? '';
}
