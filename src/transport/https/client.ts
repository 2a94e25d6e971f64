/** The HTTPS transport to a peer that can be called: its API at `<url>/api/jmix`, over verified connections. */
import type { EnvelopeId } from '../../domain/envelope-id.js';
import type { Peer } from '../../domain/peer.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { ClientIdentity } from '../client-identity.js';
import type { Outbox, ReceiptDesk } from '../transport.js';
import { refusalFrom } from './answer.js';
import { createVerifiedAgent } from './connection.js';
import { exchange } from './exchange.js';
import { createOutbox } from './outbox.js';

export interface HttpsTransport extends Outbox, ReceiptDesk {
  /** Closes idle connections. */
  close(): void;
}

/** @throws PEER_REFUSED when the peer has no url */
export function createHttpsTransport(peer: Peer, identity: ClientIdentity): HttpsTransport {
  if (peer.url === undefined)
    throw new GatewayError('PEER_REFUSED', `the peer ${peer.id} has no url in the config`);
  const base = peer.url.replace(/\/+$/, '');
  const agent = createVerifiedAgent(peer, identity);
  const receiptOf = (id: EnvelopeId) => new URL(`${base}/api/jmix/${id}/receipt`);

  return {
    ...createOutbox(async () => ({ agent, base })),
    async fetchReceipt(id, signal) {
      const answer = await exchange({ agent, method: 'GET', url: receiptOf(id), headers: {}, signal });
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw refusalFrom(answer);
      return answer.body;
    },
    async sendReceipt(id, receipt, signal) {
      const answer = await exchange({
        agent,
        method: 'POST',
        url: receiptOf(id),
        headers: { 'content-type': 'application/jose' },
        body: { sizeBytes: receipt.length, stream: receipt },
        signal,
      });
      if (answer.status !== 204 && answer.status !== 200) throw refusalFrom(answer);
    },
    close: () => agent.destroy(),
  };
}
