/** Who may send, and what becomes of what may not: over real bridges, as the operators of both sites see it. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeBridge, type TestBridge } from '../support/bridge.js';
import { describeWith } from '../support/tools.js';
import { makeTwoBridges, type TwoBridges } from '../support/two-bridges.js';
import { until } from '../support/until.js';

const LONG_MS = 120_000;

describeWith(['dcmtk', 'redis'], 'an envelope that the receiving site does not trust', () => {
  let bridges: TwoBridges;
  let a: TestBridge;
  let b: TestBridge;

  beforeAll(async () => {
    bridges = await makeTwoBridges();
    ({ a, b } = bridges);
  }, LONG_MS);

  afterAll(() => bridges?.remove(), LONG_MS);

  it(
    'is quarantined and refused; with the right key pinned, a retry delivers it and closes it at the sender too',
    async () => {
      const stranger = await makeBridge('stranger');
      await b.configure({ peers: [{ ...a.card, signingKeys: stranger.card.signingKeys }] });
      await stranger.remove();
      await Promise.all([a.start(), b.start()]);
      const sent = await bridges.sendStudy();
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
      expect(await readdir(bridges.pacs.receivedFolder)).toEqual([]);

      await b.stop();
      await b.configure({ peers: [a.card] });
      await b.start();
      await b.post(`/api/receptions/${refused.id}/retry`);
      await until(async () => (await a.deliveries()).find(({ state }) => state === 'verified'), {
        timeoutMs: LONG_MS,
        what: 'the delivery is verified after all',
      });
      expect(await readdir(bridges.pacs.receivedFolder)).toHaveLength(sent);
    },
    LONG_MS,
  );
});
