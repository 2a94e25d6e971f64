/**
 * Programs of other people that some tests need: which there are, where they lie, and what becomes of a test without
 * them. The list itself is tools.json, which the launcher of the tests reads too, to install what is missing.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe } from 'vitest';

export type ToolName = 'dcmtk' | 'orthanc' | 'redis' | 'openssl' | 'chromium';

interface Tool {
  /** Name of the Debian package. */
  readonly package: string;
  /** Every program that it must bring; each with the names it may have, the first that is found counts. */
  readonly programs: readonly (readonly string[])[];
}

const TOOLS: Readonly<Record<ToolName, Tool>> = JSON.parse(
  readFileSync(new URL('./tools.json', import.meta.url), 'utf8'),
);

/** Debian keeps servers in sbin, which only root has on PATH. */
const FOLDERS = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin'];

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
  const packages = missing.map((name) => TOOLS[name].package).join(' ');
  const reason = `${missing.join(', ')} not installed: sudo apt-get install ${packages}`;
  if (process.env['CI']) throw new Error(`"${title}" may not be skipped in CI; ${reason}`);
  describe.skip(`${title} [${reason}]`, body);
}

/** True when every program of the tool is there. */
export function isInstalled(name: ToolName): boolean {
  return TOOLS[name].programs.every((names) => find(names) !== undefined);
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
  const path = find(names);
  if (path === undefined) {
    throw new Error(`${names[0]} not installed: sudo apt-get install ${TOOLS[name].package}`);
  }
  return path;
}

function find(names: readonly string[]): string | undefined {
  return names.flatMap((name) => FOLDERS.map((folder) => join(folder, name))).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
