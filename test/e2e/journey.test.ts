/** The whole road with other people's programs at both ends: DCMTK as the modality, Orthanc as the PACS. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type MadeInstance, makeDemoStudy, makeStudy } from '../../samples/make-studies.mjs';
import { storeInstances } from '../../src/dimse/store-scu.js';
import { parseAeTitle } from '../../src/domain/ae-title.js';
import { readBytesFrom, readInstanceMeta } from '../../src/spool/instance-file.js';
import { makePair, type TestBridge } from '../support/bridge.js';
import { readDataSets, storedIn } from '../support/data-sets.js';
import { dcmsend, echoscu, storescu } from '../support/dcmtk.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const LONG_MS = 120_000;

/** Options by which storescu proposes a file's own transfer syntax and no other, and so sends its very bytes. */
const PROPOSE_ONLY = [
  ['1.2.840.10008.1.2', '-xi'],
  ['1.2.840.10008.1.2.1', '-xe'],
  ['1.2.840.10008.1.2.2', '-xb'],
  ['1.2.840.10008.1.2.5', '-xr'],
] as const;
/** DCMTK deflates anew, to other bytes; so these are sent by ourselves. */
const DEFLATED = '1.2.840.10008.1.2.1.99';

describeWith(['dcmtk', 'orthanc', 'redis'], 'a study from a modality to a PACS across town', () => {
  let orthanc: Orthanc;
  let a: TestBridge;
  let b: TestBridge;
  let files: string;

  beforeAll(async () => {
    files = await mkdtemp(join(tmpdir(), 'drawbridge-files-'));
    orthanc = await startOrthanc();
    const pacs = [{ name: 'main', aeTitle: orthanc.aeTitle, host: '127.0.0.1', port: orthanc.dicomPort }];
    ({ a, b } = await makePair(pacs));
    await Promise.all([a.start(), b.start()]);
  }, LONG_MS);

  afterAll(async () => {
    await Promise.all([a?.remove(), b?.remove(), orthanc?.stop()]);
    await rm(files, { recursive: true, force: true });
  }, LONG_MS);

  const stored = () => storedIn(orthanc);

  const sendAsTheyAre = async (made: readonly MadeInstance[]) => {
    const summary = await storeInstances({
      pacs: { aeTitle: parseAeTitle('DRAWBRIDGE'), host: '127.0.0.1', port: a.dimsePort },
      callingAe: parseAeTitle('MODALITY'),
      instances: await Promise.all(
        made.map(async (instance) => {
          const { meta, dataSetBytes } = await readInstanceMeta(instance.path);
          return {
            ...instance,
            sizeBytes: dataSetBytes,
            open: () => readBytesFrom(instance.path, meta.dataSetOffset),
          };
        }),
      ),
      onOutcome: () => undefined,
    });
    expect(summary.stored).toBe(made.length);
  };

  it('answers C-ECHO', async () => {
    expect((await echoscu({ port: a.dimsePort })).code).toBe(0);
  });

  it(
    'arrives bit for bit, in five transfer syntaxes, and comes back as verified',
    async () => {
      const made = await makeDemoStudy(join(files, 'demo'));
      for (const [syntax, option] of PROPOSE_ONLY) {
        const paths = made
          .filter(({ transferSyntaxUid }) => transferSyntaxUid === syntax)
          .map(({ path }) => path);
        const sent = await storescu(paths, { port: a.dimsePort, args: [option] });
        expect(sent.code, sent.output).toBe(0);
      }
      await sendAsTheyAre(made.filter(({ transferSyntaxUid }) => transferSyntaxUid === DEFLATED));
      const delivery = await until(
        async () => (await a.deliveries()).find(({ state }) => state === 'verified'),
        { timeoutMs: LONG_MS, what: 'the delivery is verified' },
      );
      expect(delivery.instanceCount).toBe(made.length);
      expect(await stored()).toEqual(await readDataSets(made.map(({ path }) => path)));
      const reception = await until(
        async () => (await b.receptions()).find(({ state }) => state === 'confirmed'),
        { what: 'the reception is confirmed' },
      );
      expect(reception.id).toBe(delivery.id);
      expect(delivery.steps.map(({ event }) => event)).toEqual([
        'packed',
        'sealed',
        'sent',
        'acknowledged',
        'verified',
      ]);
    },
    LONG_MS,
  );

  it(
    'sends what comes later as an addendum, and what comes again not at all',
    async () => {
      const before = await a.deliveries();
      const study = '2.25.111';
      const first = await makeStudy({ kind: 'ct', out: join(files, 'first'), slices: 3, rows: 32, study });
      const all = await makeStudy({ kind: 'ct', out: join(files, 'all'), slices: 3, rows: 32, study });
      const late = await makeStudy({ kind: 'mr', out: join(files, 'late'), slices: 2, rows: 32, study });
      await dcmsend(
        first.map(({ path }) => path),
        { port: a.dimsePort },
      );
      await until(async () => (await a.deliveries()).length === before.length + 1, {
        what: 'the first envelope',
      });
      const again = await dcmsend(
        [...all, ...late].map(({ path }) => path),
        { port: a.dimsePort },
      );
      expect(again.code, again.output).toBe(0);
      const [addendum, original] = await until(
        async () => {
          const found = (await a.deliveries()).slice(0, 2);
          return (
            found.every(({ state }) => state === 'verified') && found[0]?.addendumTo !== undefined && found
          );
        },
        { timeoutMs: LONG_MS, what: 'both envelopes are verified' },
      );
      expect(addendum?.addendumTo).toBe(original?.id);
      expect([original?.instanceCount, addendum?.instanceCount]).toEqual([3, 2]);
    },
    LONG_MS,
  );

  it('keeps no patient’s name, id or birth date outside the spool’s own files', async () => {
    const seen = `${a.output()}${b.output()}${JSON.stringify(await a.deliveries())}${JSON.stringify(await b.receptions())}`;
    expect(seen).not.toMatch(/PHANTOM|DB-0001|19700101/);
  });
});
