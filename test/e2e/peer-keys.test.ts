/** Keys that change while two real bridges run: partners hear of it by the next study, and nobody has to do anything. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeStudy } from '../../samples/make-studies.mjs';
import type { PeerView } from '../../src/trust/peer-view.js';
import { makePair, type TestBridge } from '../support/bridge.js';
import { drawbridgeJson } from '../support/cli.js';
import { type Storescp, startStorescp, storescu } from '../support/dcmtk.js';
import { describeWith } from '../support/tools.js';
import { until } from '../support/until.js';

const LONG_MS = 120_000;

describeWith(['dcmtk', 'redis'], 'keys that are rotated while both bridges run', () => {
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
    await Promise.all([a.start(), b.start()]);
  }, LONG_MS);

  afterAll(async () => {
    await Promise.all([a?.remove(), b?.remove(), pacs?.stop()]);
    await rm(files, { recursive: true, force: true });
  }, LONG_MS);

  it(
    'are learned from the envelope and from the receipt, and shown',
    async () => {
      for (const bridge of [a, b]) {
        const config = join(bridge.folder, 'drawbridge.yaml');
        expect(await drawbridgeJson('keys', 'rotate', '--config', config)).toMatchObject({ exit: 0 });
      }
      const made = await makeStudy({ kind: 'ct', out: join(files, 'ct'), slices: 2, rows: 32 });
      await storescu(
        made.map(({ path }) => path),
        { port: a.dimsePort, args: ['-xe'] },
      );
      await until(async () => (await a.deliveries()).find(({ state }) => state === 'verified'), {
        timeoutMs: LONG_MS,
        what: 'the study is with B, and A knows it',
      });
      for (const bridge of [a, b]) {
        await until(
          async () => {
            const [peer] = await bridge.get<readonly PeerView[]>('/api/peers');
            const sources = peer?.signing.map(({ source }) => source);
            return peer?.encryption?.source === 'announced' && sources?.join() === 'config,announced';
          },
          { what: `${bridge.id} shows the new keys of the other` },
        );
      }
    },
    LONG_MS,
  );
});
