/** `npm run check`: everything that can be said of the tree without running it. Each step is a sentence. */
import { join } from 'node:path';
import { ensureDependencies, ensureNode, launch, ROOT, run } from './setup.mjs';
import { stopwatch, tell } from './tell.mjs';

const bin = (...path) => join(ROOT, 'node_modules', ...path);

const STEPS = [
  { sentence: 'every type fits', command: [bin('typescript', 'bin', 'tsc'), '-p', 'tsconfig.json'] },
  {
    sentence: 'every file is formatted and has no lint',
    command: [bin('@biomejs', 'biome', 'bin', 'biome'), 'ci', '--colors=off'],
  },
  {
    sentence: 'imports go downwards, files are short, nothing forbidden is in them',
    command: [join(ROOT, 'scripts', 'check-structure.mjs'), ROOT],
  },
];

await launch(async () => {
  ensureNode();
  await ensureDependencies();
  let failed = 0;
  for (const { sentence, command } of STEPS) {
    const took = stopwatch();
    const code = await run(process.execPath, command, { cwd: ROOT });
    if (code !== 0) failed += 1;
    tell(`${code === 0 ? 'true' : 'NOT TRUE'}: ${sentence} (${took()})`);
  }
  return failed === 0 ? 0 : 1;
});
