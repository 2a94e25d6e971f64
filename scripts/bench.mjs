/**
 * `npm run bench [NAME…] [ROW…]`: builds the benchmarks and runs those named, or all; of one with several rows, those
 * named. Each pits ours against a peer, turn by turn in one run, and prints medians and ratios; bench/RESULTS.md keeps
 * what was seen, and on which machine.
 */
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDependencies, ensureNode, launch, ROOT, run } from './setup.mjs';
import { ensureTools } from './tools.mjs';

/** Peers that the benchmarks run beside ours. */
const PEERS = ['curl', 'dcmtk', 'gnupg', 'lftp', 'openssl', 'orthanc', 'vsftpd'];
const BUILT = join(ROOT, '.cache', 'bench');

await launch(async () => {
  ensureNode();
  await ensureDependencies();
  await ensureTools(PEERS);
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const failed = await run(process.execPath, [compiler, '-p', 'tsconfig.bench.json', '--noCheck'], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  if (failed !== 0) return failed;
  // What the code reads beside itself.
  cpSync(join(ROOT, 'src'), join(BUILT, 'src'), { recursive: true, filter: (path) => !path.endsWith('.ts') });
  cpSync(join(ROOT, 'samples'), join(BUILT, 'samples'), { recursive: true });
  cpSync(join(ROOT, 'test', 'support', 'tools.json'), join(BUILT, 'test', 'support', 'tools.json'));
  const all = readdirSync(join(ROOT, 'bench'))
    .filter((name) => name.endsWith('.bench.ts'))
    .map((name) => name.slice(0, -'.bench.ts'.length));
  const told = process.argv.slice(2);
  const names = told.filter((name) => all.includes(name));
  const rows = told.filter((name) => !all.includes(name));
  if (names.length === 0 && rows.length > 0) {
    process.stderr.write(`there is no benchmark ${rows.join(', ')}; expected ${all.join(', ')}\n`);
    return 2;
  }
  for (const name of told.length === 0 ? all : names) {
    const code = await run(process.execPath, [join(BUILT, 'bench', `${name}.bench.js`), ...rows], {
      cwd: ROOT,
      stdio: 'inherit',
    });
    if (code !== 0) return code;
  }
  return 0;
});
