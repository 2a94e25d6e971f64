/**
 * The rules of the source tree that no linter knows: which folder may import which, no circles, one folder for each
 * library, short files, and words that must not be committed. The tables are the rules.
 *
 * `node scripts/check-structure.mjs [FOLDER]` lists what breaks them; exit code 1 when something does.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';

/** A file imports from lower ranks or from its own folder. */
const RANKS = {
  'src/errors': 0,
  'src/domain': 1,
  'src/disk': 1,
  'src/config': 2,
  'src/observe': 2,
  'src/dicom': 2,
  'src/jmix': 2,
  'src/spool': 3,
  'src/dimse': 3,
  'src/transport': 3,
  'src/trust': 3,
  'src/openpgp': 3,
  'src/queue': 3,
  'src/outbound': 4,
  'src/inbound': 4,
  'src/hub': 4,
  'src/http': 5,
  'src/compose': 6,
  'src/cli': 7,
  'src/demo': 8,
  'src/main.ts': 7,
  workers: 7,
};

/** Where each library may be imported; with `types`, where its types may be. */
const LIBRARIES = {
  'dcmjs-dimse': { folders: ['src/dimse'] },
  'dcmjs-codecs': { folders: ['src/dicom'] },
  bullmq: { folders: ['src/queue'] },
  ioredis: { folders: ['src/queue'], types: ['src/compose'] },
  'js-redis-server': { folders: ['src/queue'] },
  express: { folders: ['src/http'] },
  helmet: { folders: ['src/http'] },
  '@bull-board/api': { folders: ['src/http'] },
  '@bull-board/express': { folders: ['src/http'] },
  'basic-ftp': { folders: ['src/transport'] },
  '@tus/server': { folders: ['src/http'] },
  '@tus/file-store': { folders: ['src/http'] },
  yauzl: { folders: ['src/jmix'] },
  ajv: { folders: ['src/jmix'] },
  'ajv-formats': { folders: ['src/jmix'] },
  jose: { folders: ['src/jmix', 'src/trust'] },
  '@scure/bip39': { folders: ['src/trust'] },
  uqr: { folders: ['src/cli'] },
  '@peculiar/x509': { folders: ['src/trust'] },
  'reflect-metadata': { folders: ['src/trust'] },
  commander: { folders: ['src/cli'] },
  'cli-progress': { folders: ['src/cli', 'src/demo'] },
  yaml: { folders: ['src/config'] },
  zod: { folders: ['src/config', 'src/trust', 'src/compose'] },
  pino: { folders: ['src/observe'] },
};

const MAX_LINES = 300;
/** Tables are as long as what they list. */
const LONG_FILES = [
  'src/errors/codes.ts',
  'src/dicom/sop-classes.ts',
  'src/dicom/tags.ts',
  'src/config/settings.ts',
];

/** In every file but this one. */
const FORBIDDEN = [
  { pattern: /(?<![\w.:/-])\/(?:work|root)\//, name: 'a path of one machine' },
  { pattern: /\b(?:describe|it|test)(?:\.\w+)*\.only\(/, name: 'a test that silences all others' },
  { pattern: /@ts-ignore/, name: 'a silenced compiler' },
  { pattern: /\b(?:TODO|FIXME)\b/, name: 'a note of something undone' },
];
const LOCK_FILE_ADDRESS = /"resolved": "http/;

const NOT_OURS = new Set(['.git', 'node_modules', 'dist', '.cache', 'coverage', 'data']);
const SOURCE = /\.(?:ts|mjs)$/;

const root = process.argv[2] ?? process.cwd();
const files = new Map(
  listFiles()
    .filter((path) => !path.startsWith('test/vectors/'))
    .map((path) => [path, readFileSync(join(root, path), 'utf8')]),
);
const modules = [...files.keys()].filter((path) => /^(?:src|workers)\/.*\.ts$/.test(path));
const imports = new Map(modules.map((path) => [path, readImports(files.get(path))]));

const problems = [
  ...modules.flatMap(checkRanks),
  ...modules.flatMap(checkLibraries),
  ...findCircles(),
  ...[...files].flatMap(([path, text]) => [...checkLength(path, text), ...checkWords(path, text)]),
];
for (const problem of problems) console.log(problem);
console.log(`${files.size} files, ${modules.length} modules, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** What git holds or would add; all files where there is no git. */
function listFiles() {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const git = spawnSync('git', ['-C', root, '-c', 'safe.directory=*', ...list], { encoding: 'utf8' });
  const here = walk('');
  if (git.status !== 0) return here;
  // Of a folder that only lies inside somebody's checkout, git may know nothing.
  const known = new Set(git.stdout.split('\0'));
  const both = here.filter((path) => known.has(path));
  return both.length > 0 ? both : here;
}

function walk(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return NOT_OURS.has(path) || entry.name === 'node_modules' ? [] : walk(path);
    return entry.isFile() ? [path] : [];
  });
}

/** The formatter puts imports at the start of a line, so their shape is known. */
function readImports(text) {
  const found = [];
  const clause = /^(?:import|export)\s+((?:type\s)?[\w\s{},*$]+?)\s+from\s+'([^']+)'/gm;
  for (const [, names, target] of text.matchAll(clause)) found.push({ target, typeOnly: isTypeOnly(names) });
  for (const [, target] of text.matchAll(/^import\s+'([^']+)'/gm)) found.push({ target, typeOnly: false });
  const call = /(?<!typeof\s*)\bimport\(\s*'([^']+)'\s*\)/g;
  for (const [, target] of text.matchAll(call)) found.push({ target, typeOnly: false });
  const typeCall = /\btypeof\s+import\(\s*'([^']+)'\s*\)/g;
  for (const [, target] of text.matchAll(typeCall)) found.push({ target, typeOnly: true });
  return found;
}

function isTypeOnly(names) {
  if (/^type\s/.test(names)) return true;
  const inner = /^\{([^}]*)\}$/.exec(names.trim())?.[1];
  if (inner === undefined) return false;
  const each = inner.split(',').filter((name) => name.trim() !== '');
  return each.length > 0 && each.every((name) => /^\s*type\s/.test(name));
}

/** The path of an imported module, for an import that is not of a package. */
function resolve(from, target) {
  if (!target.startsWith('.')) return undefined;
  return join(dirname(from), target).replace(/\.js$/, '.ts');
}

function folderOf(path) {
  return Object.keys(RANKS).find((folder) => path === folder || path.startsWith(`${folder}/`));
}

function checkRanks(path) {
  const own = folderOf(path);
  if (own === undefined) return [`${path}: its folder has no rank`];
  return imports.get(path).flatMap(({ target }) => {
    const other = resolve(path, target);
    if (other === undefined) return [];
    const folder = folderOf(other);
    if (folder === own || (folder !== undefined && RANKS[folder] < RANKS[own])) return [];
    const rank = folder === undefined ? 'no rank' : `rank ${RANKS[folder]}`;
    return [`${path}: imports ${other} (${rank}), expected a rank below ${RANKS[own]} or its own folder`];
  });
}

function checkLibraries(path) {
  return imports.get(path).flatMap(({ target, typeOnly }) => {
    if (target.startsWith('.') || target.startsWith('node:') || builtinModules.includes(target)) return [];
    const [first, second] = target.split('/');
    const name = target.startsWith('@') ? `${first}/${second}` : first;
    const home = LIBRARIES[name];
    if (home === undefined)
      return [`${path}: imports ${name}, which has no folder in scripts/check-structure.mjs`];
    const allowed = [...home.folders, ...(typeOnly ? (home.types ?? []) : [])];
    if (allowed.includes(folderOf(path))) return [];
    return [`${path}: imports ${name}, expected only in ${home.folders.join(', ')}`];
  });
}

/** Every circle once, named from its first file; of types too, since a reader goes round in it as well. */
function findCircles() {
  const done = new Set();
  const circles = new Map();
  const visit = (path, trail) => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      const circle = trail.slice(at);
      circles.set([...circle].sort().join(), [...circle, path]);
      return;
    }
    if (done.has(path)) return;
    for (const { target } of imports.get(path) ?? []) {
      const next = resolve(path, target);
      if (next !== undefined) visit(next, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of modules) visit(path, []);
  return [...circles.values()].map((circle) => `${circle[0]}: imports itself: ${circle.join(' → ')}`);
}

function checkLength(path, text) {
  // A list of cases may be as long as it needs to be.
  if (!SOURCE.test(path) || path.startsWith('test/') || LONG_FILES.includes(path)) return [];
  const lines = text.split('\n').length - 1;
  return lines > MAX_LINES ? [`${path}: ${lines} lines, expected at most ${MAX_LINES}`] : [];
}

function checkWords(path, text) {
  if (text.includes('\0')) return [];
  if (path === 'package-lock.json') {
    return LOCK_FILE_ADDRESS.test(text) ? [`${path}: names the address of a registry`] : [];
  }
  if (path === 'scripts/check-structure.mjs') return [];
  return text
    .split('\n')
    .flatMap((line, index) =>
      FORBIDDEN.filter(({ pattern }) => pattern.test(line)).map(
        ({ name }) => `${path}:${index + 1}: ${name}`,
      ),
    );
}
