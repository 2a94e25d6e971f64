/**
 * The programs of other people that some tests need, as test/support/tools.json lists them: sees to it that they are
 * there, where that is possible. The tests find them by themselves (test/support/tools.ts).
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { canInstall, ensureDebianPackages, ensureUnpacked, isUnpacked } from './debian-packages.mjs';
import { ROOT } from './setup.mjs';
import { withSetupLock } from './setup-lock.mjs';

/** Debian keeps servers in sbin, which only root has on PATH. */
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin'];

const TOOLS = Object.entries(
  JSON.parse(readFileSync(join(ROOT, 'test', 'support', 'tools.json'), 'utf8')),
).map(([name, tool]) => ({ name, ...tool }));

/** Installs or unpacks those that are missing: all of tools.json, or those named; says so when it cannot. */
export async function ensureTools(names = TOOLS.map((tool) => tool.name)) {
  if (!canInstall()) return;
  const wanted = TOOLS.filter((tool) => names.includes(tool.name));
  const installed = wanted.filter((tool) => tool.package !== undefined && !hasPrograms(tool));
  if (installed.length > 0) ensureDebianPackages(installed.map((tool) => tool.package));
  const unpacked = wanted.filter((tool) => tool.unpacked !== undefined && !isUnpacked(folderOf(tool)));
  if (unpacked.length === 0) return;
  await withSetupLock(ROOT, () => {
    for (const tool of unpacked) ensureUnpacked(folderOf(tool), tool.unpacked);
  });
}

/** What the tests have to do without, as test/support/tools.ts sees it, each with the command that would help. */
export function missingTools() {
  return TOOLS.filter(
    (tool) => !hasPrograms(tool) || (tool.unpacked !== undefined && process.getuid?.() !== 0),
  ).map((tool) => ({
    name: tool.name,
    remedy:
      tool.package === undefined
        ? 'sudo npm test, on Debian or Ubuntu'
        : `sudo apt-get install ${tool.package}`,
  }));
}

function hasPrograms(tool) {
  const own =
    tool.unpacked === undefined ? [] : ['sbin', 'bin'].map((name) => join(folderOf(tool), 'usr', name));
  const folders = [...own, ...FOLDERS];
  return tool.programs.every((names) =>
    names.some((name) => folders.some((path) => isProgram(join(path, name)))),
  );
}

function folderOf(tool) {
  return join(ROOT, '.cache', 'tools', tool.name);
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
