/**
 * Programs of other people that some tests need: which there are, where they lie, and what becomes of a test without
 * them. The list itself is tools.json, which the launcher of the tests reads too, to install what is missing.
 *
 * Servers that Debian does not let be installed side by side are not installed but unpacked, by the launcher, into
 * `.cache/tools/<tool>`. They are started by root alone.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';

export type ToolName =
  | 'dcmtk'
  | 'orthanc'
  | 'redis'
  | 'openssl'
  | 'chromium'
  | 'curl'
  | 'gnupg'
  | 'lftp'
  | 'vsftpd'
  | 'proftpd'
  | 'pure-ftpd';

type Tool = Installed | Unpacked;

interface Installed {
  /** Name of the Debian package. */
  readonly package: string;
  /** Every program that it must bring; each with the names it may have, the first that is found counts. */
  readonly programs: readonly (readonly string[])[];
}

interface Unpacked {
  /** Names of the Debian packages. */
  readonly unpacked: readonly string[];
  readonly programs: readonly (readonly string[])[];
}

const TOOLS: Readonly<Record<ToolName, Tool>> = JSON.parse(
  readFileSync(new URL('./tools.json', import.meta.url), 'utf8'),
);

/** Debian keeps servers in sbin, which only root has on PATH. */
const FOLDERS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin'];

/** Of the repository, which is further up when this file was compiled into a folder of its own. */
const UNPACKED = ancestorsOf(fileURLToPath(import.meta.url)).map((folder) => join(folder, '.cache', 'tools'));

/**
 * A `describe` that needs tools. Where one is missing, its tests are skipped, with the command that would enable
 * them in the title.
 * @throws Error in CI (env CI), where nothing may be skipped
 */
export function describeWith(needed: ToolName | readonly ToolName[], title: string, body: () => void): void {
  const names: readonly ToolName[] = typeof needed === 'string' ? [needed] : needed;
  const missing = names.filter((name) => !isInstalled(name));
  if (missing.length === 0) {
    describe(title, body);
    return;
  }
  const reason = `${missing.join(', ')} not installed: ${commandFor(missing)}`;
  if (process.env['CI']) throw new Error(`"${title}" may not be skipped in CI; ${reason}`);
  describe.skip(`${title} [${reason}]`, body);
}

/** True when every program of the tool is there, and we may start it. */
export function isInstalled(name: ToolName): boolean {
  if ('unpacked' in TOOLS[name] && process.getuid?.() !== 0) return false;
  return TOOLS[name].programs.every((names) => find(name, names) !== undefined);
}

/**
 * The path of a tool's program: the only one it has, or the one named, as `tool('dcmtk', 'storescu')`.
 * @throws Error when it is not installed, or when the tool has no such program
 */
export function tool(name: ToolName, program?: string): string {
  const names =
    program === undefined
      ? TOOLS[name].programs[0]
      : TOOLS[name].programs.find((alternatives) => alternatives.includes(program));
  if (names === undefined) throw new Error(`${program} is no program of ${name}; tools.json lists them`);
  const path = find(name, names);
  if (path === undefined) throw new Error(`${names[0]} not installed: ${commandFor([name])}`);
  return path;
}

/** What a developer types to have the tools. */
function commandFor(names: readonly ToolName[]): string {
  const packages = names.flatMap((name) => {
    const wanted = TOOLS[name];
    return 'package' in wanted ? [wanted.package] : [];
  });
  // Only the launcher can unpack, and only root can start what it unpacked.
  if (packages.length < names.length) return 'sudo npm test, on Debian or Ubuntu';
  return `sudo apt-get install ${packages.join(' ')}`;
}

/** An unpacked one comes first: it is whole, with the modules that the tests need. */
function find(name: ToolName, names: readonly string[]): string | undefined {
  const own = UNPACKED.flatMap((folder) => ['sbin', 'bin'].map((bin) => join(folder, name, 'usr', bin)));
  const folders = 'unpacked' in TOOLS[name] ? [...own, ...FOLDERS] : FOLDERS;
  return names.flatMap((program) => folders.map((folder) => join(folder, program))).find(isExecutable);
}

function ancestorsOf(path: string): readonly string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...ancestorsOf(parent)];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
