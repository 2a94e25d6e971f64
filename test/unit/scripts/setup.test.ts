/** The set-up in small trees of its own: what it does, what it leaves alone, and two of it at once. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const SETUP = new URL('../../../scripts/setup.mjs', import.meta.url).href;
const LOCK_FILE = JSON.stringify({
  packages: {
    '': {},
    'node_modules/a': { version: '1.0.0' },
    'node_modules/b': { version: '2.0.0', optional: true },
  },
});

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'drawbridge-setup-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string): void {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), text);
}

const read = (path: string) => readFileSync(join(root, path), 'utf8');

function programFor(call: string): string[] {
  return [
    '--input-type=module',
    '-e',
    `import * as setup from '${SETUP}'; await setup.launch(() => setup.${call});`,
  ];
}

/** Runs one function of the set-up in a process of its own, without npm on PATH. */
function setUp(call: string): { code: number | null; told: string } {
  const { status, stderr, stdout } = spawnSync(process.execPath, programFor(call), {
    encoding: 'utf8',
    env: { ...process.env, PATH: '/nowhere', npm_execpath: undefined },
  });
  expect(stdout).toBe('');
  return { code: status, told: stderr };
}

describe('ensureNode', () => {
  it.each(['18.19.0', '20.18.3'])('Node %s is refused with what is needed and where to get it', (version) => {
    expect(setUp(`ensureNode('${version}')`)).toEqual({
      code: 1,
      told: `drawbridge: Node 20.19 or later is needed, this is ${version}; see https://nodejs.org/en/download\n`,
    });
  });

  it.each(['20.19.0', '22.0.0'])('Node %s passes', (version) => {
    expect(setUp(`ensureNode('${version}')`)).toEqual({ code: 0, told: '' });
  });
});

describe('ensureDependencies', () => {
  const stamp = () => createHash('sha256').update(LOCK_FILE).digest('hex');

  it('installs when there is no node_modules; without npm it says so in a sentence', () => {
    write('package-lock.json', LOCK_FILE);
    const { code, told } = setUp(`ensureDependencies('${root}')`);
    expect(code).toBe(1);
    expect(told).toContain('installing the dependencies');
    expect(told).toContain('npm cannot be started');
    expect(existsSync(join(root, '.cache', 'setup.lock'))).toBe(false);
  });

  it('installs when another version than that of the lock file is installed', () => {
    write('package-lock.json', LOCK_FILE);
    write(
      'node_modules/.package-lock.json',
      JSON.stringify({ packages: { 'node_modules/a': { version: '0.9.0' } } }),
    );
    expect(setUp(`ensureDependencies('${root}')`).told).toContain('installing the dependencies');
  });

  it('takes what npm ci left as it is, and remembers it', () => {
    write('package-lock.json', LOCK_FILE);
    write(
      'node_modules/.package-lock.json',
      JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } }),
    );
    expect(setUp(`ensureDependencies('${root}')`)).toEqual({ code: 0, told: '' });
    expect(read('node_modules/.drawbridge-lock')).toBe(stamp());
  });

  it('installs again when the lock file has changed since', () => {
    write('package-lock.json', `${LOCK_FILE}\n`);
    write('node_modules/.drawbridge-lock', stamp());
    expect(setUp(`ensureDependencies('${root}')`).told).toContain('installing the dependencies');
  });
});

describe('ensureBuild', () => {
  beforeEach(() => {
    symlinkSync(join(REPOSITORY, 'node_modules'), join(root, 'node_modules'));
    for (const name of ['tsconfig.json', 'tsconfig.build.json'])
      write(name, readFileSync(join(REPOSITORY, name), 'utf8'));
    write('package.json', '{"type":"module"}');
    write('src/one.ts', 'export const one: number = 1;\n');
    write('src/jmix/schemas/a.schema.json', '{}');
    write('workers/main.ts', "export { one } from '../src/one.js';\n");
  });

  it('compiles, and takes along what is not TypeScript', () => {
    expect(setUp(`ensureBuild('${root}')`).code).toBe(0);
    expect(read('dist/src/one.js')).toContain('export const one = 1;');
    expect(read('dist/src/jmix/schemas/a.schema.json')).toBe('{}');
    expect(existsSync(join(root, 'dist/workers/main.js'))).toBe(true);
  });

  it('does nothing when nothing changed, and drops what was deleted when something did', () => {
    setUp(`ensureBuild('${root}')`);
    expect(setUp(`ensureBuild('${root}')`)).toEqual({ code: 0, told: '' });
    rmSync(join(root, 'src/jmix'), { recursive: true });
    expect(setUp(`ensureBuild('${root}')`).told).toContain('built dist/');
    expect(existsSync(join(root, 'dist/src/jmix'))).toBe(false);
  });

  it('a source that does not compile leaves the old build in its place', () => {
    setUp(`ensureBuild('${root}')`);
    write('src/one.ts', 'export const one: = ;\n');
    const { code, told } = setUp(`ensureBuild('${root}')`);
    expect(code).toBe(1);
    expect(told).toContain('the compiler failed');
    expect(read('dist/src/one.js')).toContain('export const one = 1;');
  });

  it('two at once build once', async () => {
    const told = await Promise.all([startBuild(), startBuild()]);
    expect(told.join('').match(/built dist\//g)).toHaveLength(1);
    expect(existsSync(join(root, 'dist/src/one.js'))).toBe(true);
  });

  it('the lock of a process that died holds nobody up', () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    write('.cache/setup.lock', String(pid));
    expect(setUp(`ensureBuild('${root}')`).code).toBe(0);
    expect(existsSync(join(root, '.cache', 'setup.lock'))).toBe(false);
  });

  async function startBuild(): Promise<string> {
    const child = spawn(process.execPath, programFor(`ensureBuild('${root}')`), {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let told = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      told += text;
    });
    await once(child, 'close');
    return told;
  }
});
