/**
 * Debian packages for the tests, where we may install them: as root on Debian or Ubuntu. Elsewhere, and when apt
 * fails, nothing happens but a line that says so; whoever needs the package finds it missing.
 *
 * Packages that Debian does not let be installed side by side can be unpacked into folders instead.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
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
/** In a folder of unpacked packages: the libraries that they need, one a line. */
const LIBRARIES = '.libraries';

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
  if (updated) apt({}, 'update');
  const done =
    install(missing) ||
    (!updated && apt({}, 'update') && install(missing)) ||
    // One that this distribution lacks shall not keep the others away.
    (missing.length > 1 && missing.map((name) => install([name])).every(Boolean));
  tell(done ? `installed them in ${took()}` : `apt-get could not install them; its reason stands above`);
  return done;
}

/** True when the packages were unpacked into the folder and their libraries are installed. */
export function isUnpacked(folder) {
  return existsSync(join(folder, LIBRARIES)) && librariesOf(folder).every(isInstalled);
}

/**
 * Unpacks packages into one folder, which is there whole or not at all, and installs the libraries that they need;
 * nothing else of them: no scripts run, no services. What was unpacked before stays as it is.
 * @returns whether all is there now
 */
export function ensureUnpacked(folder, packages) {
  if (isUnpacked(folder)) return true;
  if (!canInstall()) return false;
  if (!existsSync(join(folder, LIBRARIES)) && !unpack(folder, packages)) return false;
  return ensureDebianPackages(librariesOf(folder));
}

function unpack(folder, packages) {
  const took = stopwatch();
  tell(`unpacking Debian packages for the tests: ${packages.join(' ')}`);
  // A run that was killed may have left it.
  const staging = `${folder}.new`;
  rmSync(staging, { recursive: true, force: true });
  const downloads = join(staging, 'downloads');
  const root = join(staging, 'root');
  for (const path of [downloads, root]) mkdirSync(path, { recursive: true });
  try {
    if (!download(packages, downloads)) {
      tell('apt-get could not download them; its reason stands above');
      return false;
    }
    const files = readdirSync(downloads).map((name) => join(downloads, name));
    for (const file of files) {
      const { status, stderr } = spawnSync('dpkg', ['-x', file, root], {
        encoding: 'utf8',
        env: ENVIRONMENT,
      });
      if (status === 0) continue;
      tell(`dpkg could not unpack ${file}: ${stderr}`);
      return false;
    }
    const needed = files.flatMap((file) => librariesAmong(ask('dpkg-deb', '-f', file, 'Depends')));
    writeFileSync(join(root, LIBRARIES), [...new Set(needed)].map((name) => `${name}\n`).join(''));
    rmSync(folder, { recursive: true, force: true });
    renameSync(root, folder);
    tell(`unpacked them in ${took()}`);
    return true;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function download(packages, folder) {
  // As root, apt would download as a user who may not write to our folder.
  const fetch = () => apt({ cwd: folder }, 'download', '-o', 'APT::Sandbox::User=root', ...packages);
  const updated = !packages.every(isKnown);
  if (updated) apt({}, 'update');
  return fetch() || (!updated && apt({}, 'update') && fetch());
}

/** The libraries in a field as `adduser, libcap2 (>= 1:2.10), libpam0g | libpam`: of alternatives the first. */
export function librariesAmong(depends) {
  return depends
    .split(',')
    .map((dependency) => dependency.trim().split(/[\s(|:]/)[0])
    .filter((name) => name.startsWith('lib'));
}

function librariesOf(folder) {
  return readFileSync(join(folder, LIBRARIES), 'utf8').split('\n').filter(Boolean);
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
    return apt({}, 'install', '-y', '--no-install-recommends', ...packages);
  } finally {
    if (ours) rmSync(POLICY, { force: true });
  }
}

/** apt says much when all goes well; only what it says when it fails is shown. @returns whether it worked */
function apt({ cwd }, ...args) {
  const { status, signal, stdout, stderr } = spawnSync('apt-get', [...APT, ...args], {
    cwd,
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
