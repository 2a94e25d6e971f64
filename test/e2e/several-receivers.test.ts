/** One study from a modality to two hospitals at once, with its report: sealed once, and verified by each of them. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { envelopeIdOf } from '../../src/domain/delivery.js';
import { makeBridge, type TestBridge } from '../support/bridge.js';
import { drawbridgeJson } from '../support/cli.js';
import { readDataSets, storedIn } from '../support/data-sets.js';
import { dcmsend } from '../support/dcmtk.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const LONG_MS = 180_000;

describeWith(['dcmtk', 'orthanc', 'redis'], 'a study for two hospitals', () => {
  let orthanc: Orthanc;
  let a: TestBridge;
  let receivers: readonly TestBridge[];
  let files: string;

  beforeAll(async () => {
    files = await mkdtemp(join(tmpdir(), 'drawbridge-files-'));
    orthanc = await startOrthanc();
    a = await makeBridge('site-a');
    receivers = [await makeBridge('site-b'), await makeBridge('site-c')];
    await a.configure({
      // Complete when the test says so.
      completion: { quietSeconds: 600 },
      peers: receivers.map(({ card }) => card),
      routes: [{ to: ['site-b', 'site-c'], extensions: { consent: { status: 'granted' } } }],
    });
    const pacs = [{ name: 'main', aeTitle: orthanc.aeTitle, host: '127.0.0.1', port: orthanc.dicomPort }];
    for (const receiver of receivers) await receiver.configure({ peers: [a.card], pacs });
    await Promise.all([a, ...receivers].map((bridge) => bridge.start()));
  }, LONG_MS);

  afterAll(async () => {
    await Promise.all([...[a, ...(receivers ?? [])].map((bridge) => bridge?.remove()), orthanc?.stop()]);
    await rm(files, { recursive: true, force: true });
  }, LONG_MS);

  const attach = async (study: string, name: string) => {
    await writeFile(join(files, name), `what ${name} says`);
    const config = join(a.folder, 'drawbridge.yaml');
    return drawbridgeJson('attach', study, join(files, name), '--report', '--config', config);
  };
  const verified = (count: number) =>
    until(
      async () => {
        const all = (await a.deliveries()).filter(({ state }) => state === 'verified');
        return all.length === count ? all : undefined;
      },
      { timeoutMs: LONG_MS, what: `${count} deliveries are verified` },
    );

  /** Number of attachments and of instances of all that has come to each of them, newest first. */
  const haveReceived = async (...expected: readonly (readonly [number, number])[]) => {
    for (const receiver of receivers) {
      const shown = await until(
        async () => {
          const all = await receiver.receptions();
          return all.every(({ state }) => state === 'confirmed') ? all : undefined;
        },
        { what: 'all receptions are confirmed' },
      );
      expect(shown.map((each) => [each.attachmentCount, each.instanceCount])).toEqual(expected);
    }
  };

  it(
    'is sealed once with its report, and what is attached later follows',
    async () => {
      const made = await makeStudy({ kind: 'ct', out: join(files, 'study'), slices: 3, rows: 64 });
      const sent = await dcmsend(
        made.map(({ path }) => path),
        { port: a.dimsePort },
      );
      expect(sent.code, sent.output).toBe(0);
      const study = made[0]?.studyInstanceUid ?? '';
      const attached = await attach(study, 'report.pdf');
      expect(attached).toMatchObject({ exit: 0, attached: 1 });
      expect(await a.studies()).toMatchObject([{ attachmentCount: 1, instanceCount: 3 }]);

      await a.post(`/api/studies/${attached['study']}/complete`);
      const deliveries = await verified(2);
      expect(new Set(deliveries.map(envelopeIdOf)).size).toBe(1);
      expect(await readdir(join(a.folder, 'data', 'sealed'))).toHaveLength(1);
      expect(await storedIn(orthanc)).toEqual(await readDataSets(made.map(({ path }) => path)));
      await haveReceived([1, 3]);

      expect(await attach(study, 'addendum.pdf')).toMatchObject({ exit: 0 });
      await a.post(`/api/studies/${attached['study']}/complete`);
      await verified(4);
      await haveReceived([1, 1], [1, 3]);
    },
    LONG_MS,
  );
});
