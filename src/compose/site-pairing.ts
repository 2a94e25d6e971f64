/** Pairing at a running site: with its card, its keys, its book of peers, its records. */
import { GatewayError } from '../errors/gateway-error.js';
import { createFileDurably } from '../spool/atomic.js';
import { adoptPeer, assertAdoptable } from '../trust/peer-adopt.js';
import { ownCard } from '../trust/peer-card.js';
import { createPairing, type Pairing } from './pairing.js';
import { createPairingTests, type PairingTestParts } from './pairing-tests.js';
import type { SiteContext } from './site.js';

/** @param httpsPort where other bridges are listened for; undefined where they are not */
export function createSitePairing(
  site: SiteContext,
  records: PairingTestParts,
  httpsPort: () => number | undefined,
): Pairing {
  const { settings, layout, keys, clock, log } = site;
  const adoptParts = { settings, createFile: createFileDurably, clock };
  const pairing = createPairing({
    ownSide: (host) => ({
      card: ownCard(settings, keys, host, httpsPort()),
      signingKey: keys.signing.privateKey,
    }),
    identity: () => keys.tls,
    judge: (card) => assertAdoptable(layout.trust, card, adoptParts),
    async adopt(card, compared) {
      await adoptPeer(layout.trust, card, compared, adoptParts);
      await site.peers.refresh();
    },
    tests: createPairingTests(records),
    clock,
    log,
  });
  const { desk } = pairing;
  return {
    ...pairing,
    desk: {
      ...desk,
      open(host) {
        if (settings.https.listen) return desk.open(host);
        throw new GatewayError(
          'STATE_INVALID',
          'this bridge cannot be called (https.listen is false): call the other side, or pair by letter',
        );
      },
      async test(peerId) {
        // One that was paired by letter a moment ago.
        await site.peers.refresh();
        return desk.test(peerId);
      },
    },
  };
}
