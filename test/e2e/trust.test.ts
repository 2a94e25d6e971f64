/** Who may send, and what becomes of what may not: over real bridges, as the operators of both sites see it. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import { makeBridge, makePair, type TestBridge } from '../support/bridge.js';
import { type Storescp, startStorescp, storescu } from '../support/dcmtk.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const LONG_MS = 120_000;

describeWith(['dcmtk', 'redis'], 'an envelope that the receiving site does not trust', () => {
  let a: TestBridge;
  let b: TestBridge;
  let pacs: Storescp;
  let files: string;

  beforeAll(async () => {
    files = await mkdtemp(join(tmpdir(), 'drawbridge-files-'));
    pacs = await startStorescp();
    ({ a, b } = await makePair([
      { name: 'main', aeTitle: pacs.aeTitle, host: '127.0.0.1', port: pacs.port },
    ]));
  }, LONG_MS);

  afterAll(async () => {
    await Promise.all([a?.remove(), b?.remove(), pacs?.stop()]);
    await rm(files, { recursive: true, force: true });
  }, LONG_MS);

  it(
    'is quarantined and refused; with the right key pinned, a retry delivers it and closes it at the sender too',
    async () => {
      const stranger = await makeBridge('stranger');
      await b.configure({ peers: [{ ...a.card, signingKeys: stranger.card.signingKeys }] });
      await stranger.remove();
      await Promise.all([a.start(), b.start()]);
      const made = await makeStudy({ kind: 'ct', out: join(files, 'ct'), slices: 2, rows: 32 });
      await storescu(
        made.map(({ path }) => path),
        { port: a.dimsePort, args: ['-xe'] },
      );
      const refused = await until(
        async () => (await a.deliveries()).find(({ state }) => state === 'refused'),
        {
          timeoutMs: LONG_MS,
          what: 'the sender hears of the refusal',
        },
      );
      expect(refused.refusal?.code).toBe('SIGNER_NOT_PINNED');
      await until(async () => (await b.receptions()).some(({ state }) => state === 'quarantined'), {
        what: 'the receiver shows it in quarantine',
      });
      for (const folder of ['staging', 'opened', 'inbox']) {
        expect(await readdir(join(b.folder, 'data', folder))).toEqual([]);
      }
      expect(await readdir(pacs.receivedFolder)).toEqual([]);

      await b.stop();
      await b.configure({ peers: [a.card] });
      await b.start();
      await b.post(`/api/receptions/${refused.id}/retry`);
      await until(async () => (await a.deliveries()).find(({ state }) => state === 'verified'), {
        timeoutMs: LONG_MS,
        what: 'the delivery is verified after all',
      });
      expect(await readdir(pacs.receivedFolder)).toHaveLength(made.length);
    },
    LONG_MS,
  );
});
