/** How Node is run for the `drawbridge` command, for those who start parts of it by themselves. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** From the sources; from .cache/bench, where the benchmarks are compiled to. */
const COMMAND = ['../../scripts/drawbridge.mjs', '../../../../scripts/drawbridge.mjs']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find(existsSync);

/** What the command's first line says. */
export function nodeOptions(): readonly string[] {
  if (COMMAND === undefined) throw new Error('scripts/drawbridge.mjs is not where it should be');
  const [first = ''] = readFileSync(COMMAND, 'utf8').split('\n');
  return first.split(' ').filter((word) => word.startsWith('--'));
}
