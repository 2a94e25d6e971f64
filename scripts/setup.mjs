/**
 * Brings a clone to where it can run: the right Node, the dependencies of the lock file, dist/ built from src/. Each
 * step does nothing when there is nothing to do, and tells on stderr what it does. Node's own modules only.
 *
 * Run by itself (`npm run build`) it does all three.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withSetupLock } from './setup-lock.mjs';
import { SetupError, stopwatch, tell } from './tell.mjs';

/** The folder of the checkout. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const NODE = { major: 20, minor: 19 };

/** @throws SetupError on a Node older than 20.19 */
export function ensureNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  if (major > NODE.major || (major === NODE.major && minor >= NODE.minor)) return;
  throw new SetupError(
    `Node ${NODE.major}.${NODE.minor} or later is needed, this is ${version}; see https://nodejs.org/en/download`,
  );
}

/**
 * Installs what package-lock.json names, unless it is installed.
 * @throws SetupError when npm fails
 */
export async function ensureDependencies(root = ROOT) {
  if (dependenciesAreThere(root)) return;
  await withSetupLock(root, async () => {
    if (dependenciesAreThere(root)) return;
    if (!isInstalledByHand(root)) await installDependencies(root);
    writeFileSync(dependencyStamp(root), lockHash(root));
  });
}

async function installDependencies(root) {
  const took = stopwatch();
  tell('installing the dependencies (npm ci); once, up to a minute or two');
  // Started by npm, we use the same npm.
  const own = process.env.npm_execpath?.endsWith('npm-cli.js')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  // With NODE_ENV=production npm would leave the compiler out.
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const [command, ...first] = own;
  const code = await run(command, [...first, ...args], { cwd: root });
  if (code !== 0) {
    throw new SetupError(
      `npm ci failed with exit code ${code}; its reason stands above. Is the npm registry reachable?`,
    );
  }
  tell(`installed the dependencies in ${took()}`);
}

function dependenciesAreThere(root) {
  return readOr(dependencyStamp(root), '') === lockHash(root);
}

/** True when somebody ran `npm ci` or `npm install` before us: npm leaves a list of what it installed. */
function isInstalledByHand(root) {
  const installed = JSON.parse(readOr(join(root, 'node_modules', '.package-lock.json'), '{}')).packages;
  if (installed === undefined) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) => path === '' || entry.optional || installed[path]?.version === entry.version,
  );
}

function dependencyStamp(root) {
  return join(root, 'node_modules', '.drawbridge-lock');
}

function lockHash(root) {
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
}

/**
 * Compiles src/ and workers/ into dist/, unless dist/ is of them as they are. Types are not checked here: that is
 * for `npm run check`.
 * @throws SetupError when the compiler fails
 */
export async function ensureBuild(root = ROOT) {
  if (buildIsFresh(root)) return;
  await withSetupLock(root, async () => {
    if (!buildIsFresh(root)) await build(root);
  });
}

const SOURCES = ['src', 'workers'];
const BUILD_FILES = ['tsconfig.json', 'tsconfig.build.json'];

function buildIsFresh(root) {
  const stamp = readOr(buildStamp(root), undefined);
  // An image for production holds dist/ without the sources.
  if (!existsSync(join(root, 'src'))) return stamp !== undefined;
  return stamp === sourceHash(root);
}

async function build(root) {
  const took = stopwatch();
  tell('building');
  // Of the sources as they are before: what changes meanwhile is built next time.
  const stamp = sourceHash(root);
  const fresh = join(root, '.cache', 'dist.new');
  const old = join(root, '.cache', 'dist.old');
  // A build that was cut short left them.
  for (const folder of [fresh, old]) rmSync(folder, { recursive: true, force: true });
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [compiler, '-p', 'tsconfig.build.json', '--noCheck', '--outDir', fresh];
  const code = await run(process.execPath, args, { cwd: root });
  if (code !== 0) throw new SetupError(`the compiler failed with exit code ${code}; its reason stands above`);
  for (const file of SOURCES.flatMap((folder) => filesBelow(join(root, folder)))) {
    if (extname(file) !== '.ts') cpSync(file, join(fresh, relative(root, file)));
  }
  writeFileSync(join(fresh, '.drawbridge-build'), stamp);
  if (existsSync(join(root, 'dist'))) renameSync(join(root, 'dist'), old);
  renameSync(fresh, join(root, 'dist'));
  rmSync(old, { recursive: true, force: true });
  tell(`built dist/ in ${took()}`);
}

function buildStamp(root) {
  return join(root, 'dist', '.drawbridge-build');
}

/** By size and time, not by content: this runs at every start. */
function sourceHash(root) {
  const hash = createHash('sha256');
  const files = SOURCES.flatMap((folder) => filesBelow(join(root, folder)));
  for (const file of [...files, ...BUILD_FILES.map((name) => join(root, name))]) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${relative(root, file)}\0${size}\0${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesBelow(path) : [path];
    });
}

/** Runs a program with our stderr as its only output; stdout stays clean for `--json`. @returns its exit code */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 2, 2], ...options });
    child.once('error', (error) => reject(new SetupError(`${command} cannot be started: ${error.message}`)));
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** What all launchers do: run `work`, make its number the exit code, and show a SetupError as one line. */
export async function launch(work) {
  try {
    process.exitCode = await work();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    tell(error.message);
    process.exitCode = 1;
  }
}

/** Node, dependencies and build. */
export async function setUp() {
  ensureNode();
  await ensureDependencies();
  await ensureBuild();
}

function readOr(file, otherwise) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return otherwise;
    throw error;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await launch(async () => {
    await setUp();
    return 0;
  });
}
