/**
 * Two sites neither of which can be called, and a place between them that can open nothing: studies both ways, receipts
 * with them, all of it over connections that the sites make themselves.
 */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { makePairVia, type TestBridge } from '../support/bridge.js';
import { readDataSets, storedIn } from '../support/data-sets.js';
import { storescu } from '../support/dcmtk.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const LONG_MS = 180_000;

describeWith(['dcmtk', 'orthanc', 'redis'], 'two sites with a folder between them', () => {
  let files = '';
  let bridges: TestBridge[] = [];
  let archives: Orthanc[] = [];

  afterEach(async () => {
    await Promise.all([
      ...bridges.map((bridge) => bridge.remove()),
      ...archives.map((archive) => archive.stop()),
    ]);
    await rm(files, { recursive: true, force: true });
    bridges = [];
    archives = [];
  }, LONG_MS);

  it(
    'exchange studies and receipts, and leave nothing behind in it',
    async () => {
      files = await mkdtemp(join(tmpdir(), 'drawbridge-files-'));
      const between = join(files, 'between');
      for (const site of ['site-a', 'site-b']) await mkdir(join(between, site), { recursive: true });
      archives = [await startOrthanc({ aeTitle: 'PACS_A' }), await startOrthanc({ aeTitle: 'PACS_B' })];
      const { a, b } = await makePairVia(
        () => [
          {
            name: 'disk',
            type: 'folder',
            outbox: join(between, '{peer}'),
            inbox: join(between, '{site}'),
            pollSeconds: 0.5,
            settleSeconds: 0,
          },
        ],
        (site) => {
          const archive = archives[site === 'site-a' ? 0 : 1];
          return [{ name: 'main', aeTitle: archive?.aeTitle, host: '127.0.0.1', port: archive?.dicomPort }];
        },
      );
      bridges = [a, b];
      await Promise.all(bridges.map((bridge) => bridge.start()));
      const sent = await Promise.all(
        bridges.map(async (bridge, index) => {
          const kind = index === 0 ? 'ct' : 'mr';
          const made = await makeStudy({ kind, out: join(files, kind), slices: 4, rows: 64 });
          const paths = made.map(({ path }) => path);
          const result = await storescu(paths, { port: bridge.dimsePort, args: ['-xe'] });
          expect(result.code, result.output).toBe(0);
          return paths;
        }),
      );
      for (const [index, bridge] of bridges.entries()) {
        await until(async () => (await bridge.deliveries()).some(({ state }) => state === 'verified'), {
          timeoutMs: 60_000,
          what: `the delivery of ${bridge.id} is verified`,
        });
        expect(await storedIn(archives[1 - index] as Orthanc)).toEqual(await readDataSets(sent[index] ?? []));
      }
      for (const bridge of bridges) {
        await until(async () => (await bridge.receptions()).every(({ state }) => state === 'confirmed'), {
          what: `the reception of ${bridge.id} is confirmed`,
        });
        expect(await bridge.receptions(), 'receipts are not shown as studies').toHaveLength(1);
      }
      await until(
        async () =>
          (await Promise.all(['site-a', 'site-b'].map((site) => readdir(join(between, site))))).flat()
            .length === 0,
        { what: 'the folder is empty' },
      );
    },
    LONG_MS,
  );
});
