/**
 * `npm test`: sets up what is missing, also the programs of other people that some tests need, and runs vitest with
 * the arguments that it got. What had to be skipped is told at the end, with the command that would enable it.
 */
import { join } from 'node:path';
import { ensureBuild, ensureDependencies, ensureNode, launch, ROOT, run } from './setup.mjs';
import { tell } from './tell.mjs';
import { ensureTools, missingTools } from './tools.mjs';

await launch(async () => {
  ensureNode();
  await ensureDependencies();
  await ensureTools();
  await ensureBuild();
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const code = await run(process.execPath, [vitest, 'run', ...process.argv.slice(2)], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  // In CI nothing may be skipped.
  const outcome = process.env.CI ? 'failed' : 'skipped';
  for (const { name, remedy } of missingTools()) tell(`${outcome} for want of ${name}: ${remedy}`);
  return code;
});
