/**
 * Third rung: the Redis of Debian or Ubuntu, unpacked into the data folder without installing it. `apt-get download`
 * and `dpkg -x` need no root, and apt checks the distribution's signatures as ever.
 *
 * Where the system's package lists are empty (a fresh container image) lists of our own are fetched first.
 */
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../observe/log.js';
import { runCommand } from './run-command.js';
import { identify, type ServerProgram } from './server-program.js';

const LIST_TIMEOUT_MS = 30_000;
const NETWORK_TIMEOUT_MS = 180_000;

/** On Debian 12 the program is in redis-tools, and redis-server holds a link to it. */
const PROGRAMS = [
  { command: 'redis-server', packages: ['redis-server', 'redis-tools'] },
  { command: 'valkey-server', packages: ['valkey-server', 'valkey-tools'] },
] as const;

/** Libraries of libraries of libraries: deeper than any Redis has had. */
const MAX_LIBRARY_ROUNDS = 4;

const APT_OPTIONS = [
  '-o',
  'Acquire::Retries=1',
  '-o',
  'Acquire::http::Timeout=20',
  '-o',
  'Acquire::https::Timeout=20',
  // As root, apt would fetch as a user who may not write to our folder.
  '-o',
  'APT::Sandbox::User=root',
];

/**
 * Finds the package that was unpacked before, or fetches and unpacks it into `<folder>/package`.
 * @returns undefined where there is no apt, no network, or only a Redis older than 6.2
 */
export async function unpackDebianPackage(folder: string, log: Log): Promise<ServerProgram | undefined> {
  const target = join(folder, 'package');
  const before = await findUnpacked(target);
  if (before !== undefined) return before;
  if ((await runCommand('apt-get', ['--version'], { timeoutMs: LIST_TIMEOUT_MS })) === undefined)
    return undefined;

  log.info({ event: 'redis.download_started' }, 'fetching the Redis package of this distribution');
  const staging = join(folder, 'package.part');
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true, mode: 0o700 });
  try {
    if (!(await fetchInto(staging))) return undefined;
    await rm(target, { recursive: true, force: true });
    await rename(join(staging, 'root'), target);
    log.info({ event: 'redis.download_ended' }, 'unpacked the Redis package of this distribution');
    return await findUnpacked(target);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function findUnpacked(root: string): Promise<ServerProgram | undefined> {
  const libraryPath = await libraryPathOf(root);
  for (const { command } of PROGRAMS) {
    const program = await identify({ command: join(root, 'usr', 'bin', command), libraryPath });
    if (program !== undefined) return program;
  }
  return undefined;
}

/** The system's own lists first; where they lead to nothing, lists of our own. */
async function fetchInto(staging: string): Promise<boolean> {
  if (await fetchWith([], staging)) return true;
  const state = join(staging, 'state');
  const cache = join(staging, 'cache');
  await mkdir(join(state, 'lists', 'partial'), { recursive: true });
  await mkdir(join(cache, 'archives', 'partial'), { recursive: true });
  const lists = ['-o', `Dir::State=${state}`, '-o', `Dir::State::Lists=${join(state, 'lists')}`];
  const ownLists = [...lists, '-o', `Dir::Cache=${cache}`];
  // Its exit code is of no use: a hook of the system may fail although the lists are there.
  await runCommand('apt-get', [...APT_OPTIONS, ...ownLists, 'update'], { timeoutMs: NETWORK_TIMEOUT_MS });
  return fetchWith(ownLists, staging);
}

async function fetchWith(lists: readonly string[], staging: string): Promise<boolean> {
  const root = join(staging, 'root');
  for (const { command, packages } of PROGRAMS) {
    await rm(root, { recursive: true, force: true });
    await mkdir(root);
    if (!(await unpack(packages, lists, staging, root))) continue;
    if (await addMissingLibraries(join(root, 'usr', 'bin', command), packages, lists, staging, root))
      return true;
  }
  return false;
}

/** Downloads packages and unpacks all of them into `root`; false when one cannot be had. */
async function unpack(
  packages: readonly string[],
  lists: readonly string[],
  staging: string,
  root: string,
): Promise<boolean> {
  const downloads = join(staging, 'downloads');
  await rm(downloads, { recursive: true, force: true });
  await mkdir(downloads);
  const args = [...APT_OPTIONS, ...lists, 'download', ...packages];
  const output = await runCommand('apt-get', args, { timeoutMs: NETWORK_TIMEOUT_MS, cwd: downloads });
  if (output === undefined) return false;
  for (const name of await readdir(downloads)) {
    const done = await runCommand('dpkg', ['-x', join(downloads, name), root], {
      timeoutMs: LIST_TIMEOUT_MS,
    });
    if (done === undefined) return false;
  }
  return true;
}

/** Unpacks the libraries that the packages depend on and this system has not, until the loader finds them all. */
async function addMissingLibraries(
  program: string,
  packages: readonly string[],
  lists: readonly string[],
  staging: string,
  root: string,
): Promise<boolean> {
  let parents: readonly string[] = packages;
  for (let round = 0; round < MAX_LIBRARY_ROUNDS; round += 1) {
    if (await hasAllLibraries(program, root)) return true;
    parents = await librariesToAdd(parents, lists);
    for (const library of parents) await unpack([library], lists, staging, root);
  }
  return hasAllLibraries(program, root);
}

async function hasAllLibraries(program: string, root: string): Promise<boolean> {
  const output = await runCommand('ldd', [program], {
    timeoutMs: LIST_TIMEOUT_MS,
    env: { LD_LIBRARY_PATH: await libraryPathOf(root), PATH: '/usr/bin:/bin' },
  });
  return output !== undefined && !output.includes('not found');
}

/** The libraries among the direct dependencies that are not installed. */
async function librariesToAdd(
  parents: readonly string[],
  lists: readonly string[],
): Promise<readonly string[]> {
  if (parents.length === 0) return [];
  const args = [...lists, 'depends', '--important', ...parents];
  const output = (await runCommand('apt-cache', args, { timeoutMs: LIST_TIMEOUT_MS })) ?? '';
  // `  Depends: libjemalloc2`, ` |Depends: libsystemd0`; a virtual package stands in angle brackets.
  const names = [...output.matchAll(/Depends: ((?:lib|lua)[a-z0-9.+-]+)(?::\S+)?$/gm)].map(
    (match) => match[1] ?? '',
  );
  const missing: string[] = [];
  for (const name of new Set(names)) {
    const query = ['--show', '--showformat', `\${db:Status-Status}`, name];
    const status = await runCommand('dpkg-query', query, { timeoutMs: LIST_TIMEOUT_MS });
    if (status !== 'installed') missing.push(name);
  }
  return missing;
}

/** `usr/lib/<machine>` and the like, as the loader wants them. */
async function libraryPathOf(root: string): Promise<string> {
  const folders: string[] = [];
  for (const base of [join(root, 'usr', 'lib'), join(root, 'lib')]) {
    folders.push(base);
    for (const name of await readdir(base).catch(() => [])) {
      const path = join(base, name);
      if ((await stat(path)).isDirectory()) folders.push(path);
    }
  }
  return folders.join(':');
}
