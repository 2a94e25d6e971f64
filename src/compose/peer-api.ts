/** What stands behind the API for other bridges: the receiving use cases, and receipts for what we sent. */
import type { GatewayError } from '../errors/gateway-error.js';
import type { PairingDoor } from '../http/pairing-ports.js';
import type { PeerApi } from '../http/ports.js';
import { receiptFor } from '../inbound/confirm.js';
import type { InboundParts } from '../inbound/parts.js';
import { createReceiver } from '../inbound/receive.js';
import type { OutboundParts } from '../outbound/parts.js';
import { acceptReceipt } from '../outbound/receipt.js';
import { formatJwks } from '../trust/jwks.js';
import { identifyPeer } from '../trust/peers.js';
import type { SiteContext } from './site.js';

export function createPeerApi(
  site: SiteContext,
  inbound: InboundParts,
  outbound: OutboundParts,
  admission: () => GatewayError | undefined,
  pairing: PairingDoor,
): PeerApi {
  const receive = createReceiver(inbound);
  return {
    identify: (certificate) => identifyPeer(site.peers, certificate)?.id,
    admission,
    pairing,
    receive: ({ peerId, body, mediaType, signal }) => receive({ from: { peerId }, body, mediaType, signal }),
    async probe(peerId, id) {
      const reception = await inbound.receptions.read(id);
      return reception?.fromPeerId === peerId ? { manifestSha256: reception.manifestSha256 } : undefined;
    },
    receiptFor: (peerId, id) => receiptFor(inbound, peerId, id),
    acceptReceipt: (peerId, id, receipt) => acceptReceipt(outbound, peerId, id, receipt),
    async keySet() {
      await site.keys.refresh();
      return formatJwks(site.keys);
    },
  };
}
