/** Each rule of scripts/check-structure.mjs can fail, and says where. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../../scripts/check-structure.mjs', import.meta.url));

/** Puts a word together, so that the check does not find it in this file. */
const joined = (...parts: string[]) => parts.join('');

function check(tree: Readonly<Record<string, string>>): { code: number | null; problems: string[] } {
  const root = mkdtempSync(join(tmpdir(), 'drawbridge-structure-'));
  try {
    for (const [path, text] of Object.entries(tree)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const { status, stdout } = spawnSync(process.execPath, [SCRIPT, root], { encoding: 'utf8' });
    return { code: status, problems: stdout.trimEnd().split('\n').slice(0, -1) };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

it.each([
  [
    'an import of a higher rank',
    { 'src/domain/a.ts': "import { b } from '../queue/b.js';\n", 'src/queue/b.ts': '' },
    'src/domain/a.ts: imports src/queue/b.ts (rank 3), expected a rank below 1 or its own folder',
  ],
  [
    'an import of a type of a higher rank, over several lines',
    { 'src/domain/a.ts': "import type {\n  B,\n} from '../queue/b.js';\n", 'src/queue/b.ts': '' },
    'src/domain/a.ts: imports src/queue/b.ts (rank 3), expected a rank below 1 or its own folder',
  ],
  [
    'an import of the same rank',
    { 'src/trust/a.ts': "export { b } from '../queue/b.js';\n", 'src/queue/b.ts': '' },
    'src/trust/a.ts: imports src/queue/b.ts (rank 3), expected a rank below 3 or its own folder',
  ],
  [
    'a dynamic import of a higher rank',
    { 'src/trust/a.ts': "const b = await import('../cli/b.js');\n", 'src/cli/b.ts': '' },
    'src/trust/a.ts: imports src/cli/b.ts (rank 7), expected a rank below 3 or its own folder',
  ],
  ['a folder without a rank', { 'src/utils/a.ts': '' }, 'src/utils/a.ts: its folder has no rank'],
  [
    'a circle of types within a folder',
    {
      'src/jmix/a.ts': "import type { B } from './b.js';\n",
      'src/jmix/b.ts': "import { type A } from './a.js';\n",
    },
    'src/jmix/a.ts: imports itself: src/jmix/a.ts → src/jmix/b.ts → src/jmix/a.ts',
  ],
  [
    'a library outside its folder',
    { 'src/outbound/a.ts': "import { Queue } from 'bullmq';\n" },
    'src/outbound/a.ts: imports bullmq, expected only in src/queue',
  ],
  [
    'a part of a library with a scope outside its folder',
    { 'src/outbound/a.ts': "import { x } from '@bull-board/api/bullMQAdapter';\n" },
    'src/outbound/a.ts: imports @bull-board/api, expected only in src/http',
  ],
  [
    'a value of ioredis in compose, where only its types may be',
    { 'src/compose/a.ts': "import { Redis, type Cluster } from 'ioredis';\n" },
    'src/compose/a.ts: imports ioredis, expected only in src/queue',
  ],
  [
    'a library that nobody gave a folder',
    { 'src/queue/a.ts': "import 'left-pad';\n" },
    'src/queue/a.ts: imports left-pad, which has no folder in scripts/check-structure.mjs',
  ],
  [
    'a file of 301 lines',
    { 'src/jmix/a.ts': '//\n'.repeat(301) },
    'src/jmix/a.ts: 301 lines, expected at most 300',
  ],
  [
    'a path of one machine',
    { 'README.md': joined('\nsee /wo', 'rk/data\n') },
    'README.md:2: a path of one machine',
  ],
  [
    'a test that silences the others',
    { 'test/a.test.ts': joined('describe.on', "ly('x', () => {});\n") },
    'test/a.test.ts:1: a test that silences all others',
  ],
  ['a silenced compiler', { 'test/a.ts': joined('// @ts-', 'ignore\n') }, 'test/a.ts:1: a silenced compiler'],
  [
    'a note of something undone',
    { 'src/jmix/a.ts': joined('// TO', 'DO later\n') },
    'src/jmix/a.ts:1: a note of something undone',
  ],
  [
    'a lock file with an address',
    { 'package-lock.json': joined('"resol', 'ved": "https://registry.example/x.tgz"') },
    'package-lock.json: names the address of a registry',
  ],
])('%s is found', (_, tree, problem) => {
  expect(check(tree as Record<string, string>)).toEqual({ code: 1, problems: [problem] });
});

it('what keeps all rules passes', () => {
  const tree = {
    'src/errors/codes.ts': '//\n'.repeat(301),
    'src/jmix/long.ts': '//\n'.repeat(300),
    'src/domain/a.ts':
      "import { readFile } from 'node:fs/promises';\nimport { x } from '../errors/codes.js';\n",
    'src/compose/b.ts': "import type { Redis } from 'ioredis';\nimport { type Cluster } from 'ioredis';\n",
    'workers/main.ts': "import { b } from '../src/compose/b.js';\n",
    'test/vectors/made-elsewhere.txt': joined('TO', 'DO\n'),
    'docs/network.md': joined('http://host.example/wo', 'rk/list\n'),
  };
  expect(check(tree)).toEqual({ code: 0, problems: [] });
});
