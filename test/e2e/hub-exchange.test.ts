/**
 * Two sites that can be reached by nobody, and a hub that both can call: studies and receipts both ways, while the line
 * is cut and the hub is killed. Then the hub is searched for whatever could tell of a patient.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { makeBridge, makePairVia, type TestBridge } from '../support/bridge.js';
import { type CuttingProxy, randomCuts, startCuttingProxy } from '../support/cutting-proxy.js';
import { readDataSets, storedIn } from '../support/data-sets.js';
import { storescu } from '../support/dcmtk.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const LONG_MS = 240_000;
const MIB = 1024 * 1024;
const SITES = ['site-a', 'site-b'] as const;

describeWith(['dcmtk', 'orthanc', 'redis'], 'two sites with a hub between them', () => {
  let files = '';
  let bridges: TestBridge[] = [];
  let archives: Orthanc[] = [];
  let line: CuttingProxy | undefined;

  afterEach(async () => {
    await Promise.all([...bridges.map((each) => each.remove()), ...archives.map((each) => each.stop())]);
    await line?.stop();
    await rm(files, { recursive: true, force: true });
    bridges = [];
    archives = [];
  }, LONG_MS);

  const raise = async ({ nested }: { nested: boolean }) => {
    files = await mkdtemp(join(tmpdir(), 'drawbridge-files-'));
    archives = [await startOrthanc({ aeTitle: 'PACS_A' }), await startOrthanc({ aeTitle: 'PACS_B' })];
    const hub = await makeBridge('hub');
    const between = await startCuttingProxy({
      target: { port: hub.httpsPort },
      cutAfter: randomCuts(20261121, 2 * MIB, 5 * MIB),
    });
    line = between;
    const { a, b } = await makePairVia(
      () => [
        {
          name: 'hub',
          type: 'hub',
          url: `https://${between.host}:${between.port}`,
          certificateFingerprints: hub.card.certificateFingerprints,
          pollSeconds: 1,
          ...(nested ? { nested, hubId: 'hub', encryptionKey: hub.card.encryptionKey } : {}),
        },
      ],
      (site) => {
        const archive = archives[SITES.indexOf(site)];
        return [{ name: 'main', aeTitle: archive?.aeTitle, host: '127.0.0.1', port: archive?.dicomPort }];
      },
    );
    await hub.configure({
      role: 'hub',
      // A hub has no use for the keys of its sites.
      peers: [a, b].map(({ card: { id, name, certificateFingerprints } }) => ({
        id,
        name,
        certificateFingerprints,
      })),
    });
    bridges = [hub, a, b];
    await Promise.all(bridges.map((bridge) => bridge.start()));
    return { hub, a, b, line: between };
  };

  const send = async (bridge: TestBridge, kind: 'ct' | 'mr', slices: number) => {
    const made = await makeStudy({ kind, out: join(files, `${bridge.id}-${kind}`), slices, rows: 512 });
    const paths = made.map(({ path }) => path);
    const result = await storescu(paths, { port: bridge.dimsePort, args: ['-xe'] });
    expect(result.code, result.output).toBe(0);
    return paths;
  };

  const exchange = async (nested: boolean) => {
    const { hub, a, b, line: between } = await raise({ nested });
    const sent = [await send(a, 'ct', 24), await send(b, 'mr', 24)];
    await until(() => between.cuts >= 2, { timeoutMs: 60_000, what: 'the line was cut' });
    await hub.kill();
    await hub.start();
    for (const [index, bridge] of [a, b].entries()) {
      await until(async () => (await bridge.deliveries()).some(({ state }) => state === 'verified'), {
        timeoutMs: 150_000,
        what: `the delivery of ${bridge.id} is verified`,
      });
      const stored = await storedIn(archives[1 - index] as Orthanc);
      expect(stored).toEqual(await readDataSets(sent[index] ?? []));
    }
    expect((await Promise.all([a, b].map((bridge) => bridge.deliveries()))).flat()).toHaveLength(2);
    const told = [...(await readDataSets(sent.flat())).keys()];
    const secrets = ['PHANTOM', 'DB-0001', '19700101', '"CT"', '"MR"', ...told.slice(0, 3)];
    const seen = [hub.output(), ...(await everyFileBelow(hub.folder))];
    expect(seen.length).toBeGreaterThan(5);
    for (const secret of secrets) {
      expect(
        seen.filter((text) => text.includes(secret)),
        `the hub knows ${secret}`,
      ).toEqual([]);
    }
    return { hub, a, b };
  };

  it('exchange studies both ways, and the hub knows of no patient', () => exchange(false), LONG_MS);

  it(
    'exchange studies in envelopes within envelopes, if they wish',
    async () => {
      const { a } = await exchange(true);
      const [delivery] = await a.deliveries();
      expect(delivery?.sealed?.outer?.id).toBeDefined();
    },
    LONG_MS,
  );
});

/** What the files hold, as Latin-1, and their names. */
async function everyFileBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.map(async (path) => `${path}\n${await readFile(path, 'latin1')}`));
}
