/**
 * `npm test`: sets up what is missing, also the programs of other people that some tests need, and runs vitest with
 * the arguments that it got. What had to be skipped is told at the end, with the command that would enable it.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { canInstall, ensureDebianPackages } from './debian-packages.mjs';
import { ensureBuild, ensureDependencies, ensureNode, launch, ROOT, run } from './setup.mjs';
import { tell } from './tell.mjs';

/** Debian keeps servers in sbin, which only root has on PATH. */
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin'];

await launch(async () => {
  ensureNode();
  await ensureDependencies();
  const before = missingTools();
  if (before.length > 0 && canInstall()) ensureDebianPackages(before.map((tool) => tool.package));
  await ensureBuild();
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const code = await run(process.execPath, [vitest, 'run', ...process.argv.slice(2)], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  // In CI nothing may be skipped.
  const outcome = process.env.CI ? 'failed' : 'skipped';
  for (const tool of missingTools()) {
    tell(`${outcome} for want of ${tool.name}: sudo apt-get install ${tool.package}`);
  }
  return code;
});

function missingTools() {
  const tools = JSON.parse(readFileSync(join(ROOT, 'test', 'support', 'tools.json'), 'utf8'));
  return Object.entries(tools)
    .filter(([, tool]) => !tool.programs.every((names) => names.some(isOnPath)))
    .map(([name, tool]) => ({ name, package: tool.package }));
}

function isOnPath(program) {
  return FOLDERS.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
