/**
 * End-to-end commitment with whole bridges. Orthanc plays the modality, which asks the first bridge, and the PACS of the
 * second, which is asked by a worker and reports to the gateway.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { makePair, type TestBridge } from '../support/bridge.js';
import { storescu } from '../support/dcmtk.js';
import { type Orthanc, startOrthanc } from '../support/orthanc.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const LONG_MS = 180_000;

describeWith(['dcmtk', 'orthanc', 'redis'], 'two sites, a modality and a PACS that take part', () => {
  let files = '';
  let bridges: TestBridge[] = [];
  let orthanc: Orthanc | undefined;

  afterEach(async () => {
    await Promise.all(bridges.map((bridge) => bridge.remove()));
    await orthanc?.stop();
    await rm(files, { recursive: true, force: true });
    bridges = [];
  }, LONG_MS);

  it(
    'the modality is told that its study is kept when the far PACS has committed to it',
    async () => {
      files = await mkdtemp(join(tmpdir(), 'drawbridge-files-'));
      const running = await startOrthanc();
      orthanc = running;
      const address = { aeTitle: 'ORTHANC', host: '127.0.0.1', port: running.dicomPort };
      const { a, b } = await makePair([{ name: 'main', ...address, commitment: 'required' }]);
      bridges = [a, b];
      const { aeTitle, ...reportTo } = address;
      await a.configure({
        dimse: {
          host: '127.0.0.1',
          port: a.dimsePort,
          aeTitles: ['DRAWBRIDGE'],
          anyCaller: true,
          commitment: 'delivered',
          callers: [{ aeTitle, reportTo }],
        },
      });
      const tell = async (method: string, path: string, body: unknown): Promise<Response> => {
        const url = `http://127.0.0.1:${running.httpPort}${path}`;
        const response = await fetch(url, { method, body: JSON.stringify(body) });
        expect(response.ok, path).toBe(true);
        return response;
      };
      // Orthanc reports to an AE title, so each bridge needs one of its own.
      await b.configure({
        dimse: { host: '127.0.0.1', port: b.dimsePort, aeTitles: ['BRIDGE_B'], anyCaller: false },
      });
      for (const [bridge, title] of [
        [a, 'DRAWBRIDGE'],
        [b, 'BRIDGE_B'],
      ] as const)
        await tell('PUT', `/modalities/${bridge.id}`, [title, '127.0.0.1', bridge.dimsePort]);
      await Promise.all(bridges.map((bridge) => bridge.start()));

      const made = await makeStudy({ kind: 'ct', out: join(files, 'ct'), slices: 3, rows: 32 });
      const sent = await storescu(
        made.map(({ path }) => path),
        { port: a.dimsePort, args: ['-xe'] },
      );
      expect(sent.code, sent.output).toBe(0);
      const asked = await tell('POST', `/modalities/${a.id}/storage-commitment`, {
        DicomInstances: made.map(({ sopClassUid, sopInstanceUid }) => [sopClassUid, sopInstanceUid]),
      });
      const { ID: id } = (await asked.json()) as { ID: string };
      const report = await until(
        async () => {
          const found = (await running.rest(`/storage-commitment/${id}`)) as {
            Status: string;
            Success?: unknown[];
          };
          return found.Status === 'Pending' ? undefined : found;
        },
        { timeoutMs: 60_000, what: 'the modality is told' },
      );
      expect(report.Status).toBe('Success');
      expect(report.Success).toHaveLength(3);
      expect((await a.deliveries()).map(({ state }) => state)).toEqual(['verified']);
      const [reception] = await b.receptions();
      expect(reception?.pacs['main']?.commitment?.state).toBe('committed');
    },
    LONG_MS,
  );
});
