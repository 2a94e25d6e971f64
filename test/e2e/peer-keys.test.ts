/** Keys that change while two real bridges run: partners hear of it by the next study, and nobody has to do anything. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PeerView } from '../../src/trust/peer-view.js';
import type { TestBridge } from '../support/bridge.js';
import { drawbridgeJson } from '../support/cli.js';
import { describeWith } from '../support/tools.js';
import { makeTwoBridges, type TwoBridges } from '../support/two-bridges.js';
import { until } from '../support/until.js';

const LONG_MS = 120_000;

describeWith(['dcmtk', 'redis'], 'keys that are rotated while both bridges run', () => {
  let bridges: TwoBridges;
  let a: TestBridge;
  let b: TestBridge;

  beforeAll(async () => {
    bridges = await makeTwoBridges();
    ({ a, b } = bridges);
    await Promise.all([a.start(), b.start()]);
  }, LONG_MS);

  afterAll(() => bridges?.remove(), LONG_MS);

  it(
    'are learned from the envelope and from the receipt, and shown',
    async () => {
      for (const bridge of [a, b]) {
        const config = join(bridge.folder, 'drawbridge.yaml');
        expect(await drawbridgeJson('keys', 'rotate', '--config', config)).toMatchObject({ exit: 0 });
      }
      await bridges.sendStudy();
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
