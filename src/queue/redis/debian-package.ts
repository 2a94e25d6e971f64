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

const LOCAL_TIMEOUT_MS = 30_000;
const NETWORK_TIMEOUT_MS = 180_000;

/** On Debian 12 the program is in redis-tools, and redis-server holds a link to it. */
const PROGRAMS = [
  { command: 'redis-server', packages: ['redis-server', 'redis-tools'] },
  { command: 'valkey-server', packages: ['valkey-server', 'valkey-tools'] },
] as const;

/** Libraries of libraries of libraries: deeper than any Redis has had. */
const MAX_LIBRARY_ROUNDS = 4;

const APT_SETTINGS = [
  'Acquire::Retries=1',
  'Acquire::http::Timeout=20',
  'Acquire::https::Timeout=20',
  // As root, apt would fetch as a user who may not write to our folder.
  'APT::Sandbox::User=root',
];

/** A field in the notation of dpkg-query, not of JavaScript. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: see above
const DPKG_STATUS = '${db:Status-Status}';

/** Where one try to fetch the package works, and with which settings of apt. */
interface Fetch {
  readonly root: string;
  readonly downloads: string;
  readonly settings: readonly string[];
  readonly log: Log;
}

/**
 * Finds the package that was unpacked before, or fetches and unpacks it into `<folder>/package`.
 * @returns undefined where there is no apt, no network, or only a Redis older than 6.2
 */
export async function unpackDebianPackage(folder: string, log: Log): Promise<ServerProgram | undefined> {
  const target = join(folder, 'package');
  const before = await findUnpacked(target);
  if (before !== undefined) return before;
  if ((await runCommand('apt-get', ['--version'], { timeoutMs: LOCAL_TIMEOUT_MS })) === undefined)
    return undefined;

  log.info({ event: 'redis.download_started' }, 'fetching the Redis package of this distribution');
  const staging = join(folder, 'package.part');
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true, mode: 0o700 });
  try {
    if (await fetchInto(staging, log)) {
      await rm(target, { recursive: true, force: true });
      await rename(join(staging, 'root'), target);
    }
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  const program = await findUnpacked(target);
  if (program === undefined)
    log.warn({ event: 'redis.download_failed' }, 'the Redis package could not be had');
  else log.info({ event: 'redis.download_ended', version: program.version }, 'unpacked the Redis package');
  return program;
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
async function fetchInto(staging: string, log: Log): Promise<boolean> {
  const places = { root: join(staging, 'root'), downloads: join(staging, 'downloads'), log };
  if (await fetchServer({ ...places, settings: APT_SETTINGS })) return true;
  const lists = join(staging, 'state', 'lists');
  const cache = join(staging, 'cache');
  await mkdir(join(lists, 'partial'), { recursive: true });
  await mkdir(join(cache, 'archives', 'partial'), { recursive: true });
  const own = [`Dir::State=${join(staging, 'state')}`, `Dir::State::Lists=${lists}`, `Dir::Cache=${cache}`];
  const settings = [...APT_SETTINGS, ...own];
  // Its exit code is of no use: a hook of the system may fail although the lists are there.
  await apt('apt-get', ['update'], { settings, log });
  return fetchServer({ ...places, settings });
}

async function fetchServer(fetch: Fetch): Promise<boolean> {
  for (const { command, packages } of PROGRAMS) {
    await rm(fetch.root, { recursive: true, force: true });
    await mkdir(fetch.root);
    if (!(await unpack(packages, fetch))) continue;
    if (await addMissingLibraries(join(fetch.root, 'usr', 'bin', command), packages, fetch)) return true;
  }
  return false;
}

/** Downloads packages and unpacks them into the root; false when one cannot be had. */
async function unpack(packages: readonly string[], fetch: Fetch): Promise<boolean> {
  await rm(fetch.downloads, { recursive: true, force: true });
  await mkdir(fetch.downloads);
  if ((await apt('apt-get', ['download', ...packages], fetch, fetch.downloads)) === undefined) return false;
  for (const name of await readdir(fetch.downloads)) {
    const args = ['-x', join(fetch.downloads, name), fetch.root];
    const output = await runCommand('dpkg', args, { timeoutMs: LOCAL_TIMEOUT_MS, log: fetch.log });
    if (output === undefined) return false;
  }
  return true;
}

/** Unpacks the libraries that the packages depend on and this system has not, until the loader finds them all. */
async function addMissingLibraries(
  program: string,
  packages: readonly string[],
  fetch: Fetch,
): Promise<boolean> {
  let parents = packages;
  for (let round = 0; round < MAX_LIBRARY_ROUNDS; round += 1) {
    if (await hasAllLibraries(program, fetch.root)) return true;
    parents = await missingLibraries(parents, fetch);
    // One by one: a package that cannot be had may turn out not to be needed.
    for (const library of parents) await unpack([library], fetch);
  }
  return hasAllLibraries(program, fetch.root);
}

async function hasAllLibraries(program: string, root: string): Promise<boolean> {
  const output = await runCommand('ldd', [program], {
    timeoutMs: LOCAL_TIMEOUT_MS,
    env: { LD_LIBRARY_PATH: await libraryPathOf(root), PATH: '/usr/bin:/bin' },
  });
  return output !== undefined && !output.includes('not found');
}

/** The libraries among the direct dependencies of packages that are not installed here. */
async function missingLibraries(parents: readonly string[], fetch: Fetch): Promise<readonly string[]> {
  if (parents.length === 0) return [];
  const output = (await apt('apt-cache', ['depends', '--important', ...parents], fetch)) ?? '';
  const missing: string[] = [];
  for (const name of parseLibraryDependencies(output)) {
    const args = ['--show', '--showformat', DPKG_STATUS, name];
    const status = await runCommand('dpkg-query', args, { timeoutMs: LOCAL_TIMEOUT_MS });
    if (status !== 'installed') missing.push(name);
  }
  return missing;
}

/**
 * The names of libraries in the output of `apt-cache depends`, where a line is `  Depends: libjemalloc2`, with a `|`
 * before an alternative and angle brackets around a virtual package.
 */
export function parseLibraryDependencies(output: string): readonly string[] {
  const names = [...output.matchAll(/Depends: ((?:lib|lua)[a-z0-9.+-]+)(?::\S+)?$/gm)].map(
    ([, name]) => name ?? '',
  );
  return [...new Set(names)];
}

function apt(
  command: 'apt-get' | 'apt-cache',
  args: readonly string[],
  fetch: Pick<Fetch, 'settings' | 'log'>,
  cwd?: string,
): Promise<string | undefined> {
  const options = fetch.settings.flatMap((setting) => ['-o', setting]);
  return runCommand(command, [...options, ...args], {
    timeoutMs: NETWORK_TIMEOUT_MS,
    log: fetch.log,
    ...(cwd === undefined ? {} : { cwd }),
  });
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
