/** The test envelopes of a pairing, seen over the records: ours as a delivery, theirs as a reception. */
import { type Delivery, deliveryState } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Reception } from '../domain/reception.js';
import { GatewayError } from '../errors/gateway-error.js';
import { openPairingTest } from '../outbound/pairing-test.js';
import type { OutboundParts } from '../outbound/parts.js';
import type { PairingTestPort } from './pairing.js';
import type { RecordIndex } from './record-index.js';

export interface PairingTestParts {
  readonly outbound: OutboundParts;
  readonly deliveries: RecordIndex<Delivery>;
  readonly receptions: RecordIndex<Reception>;
}

export function createPairingTests({ outbound, deliveries, receptions }: PairingTestParts): PairingTestPort {
  const { peers } = outbound;
  return {
    async send(peerId) {
      const peer = peers.get(peerId);
      if (peer === undefined) throw new GatewayError('REQUEST_INVALID', `there is no peer ${peerId}`);
      if ((peer.url ?? peer.via) === undefined) {
        throw new GatewayError(
          'STATE_INVALID',
          `nothing leads to ${peerId}: it cannot be called, so name an exchange as \`via\` of its entry in peers`,
        );
      }
      return openPairingTest(outbound, peerId);
    },
    view(peerId, sent, sinceMs) {
      const received = receptions
        .all()
        .some(
          ({ purpose, senderId, receivedAtMs, quarantined }) =>
            purpose === 'pairing-test' &&
            senderId === peerId &&
            receivedAtMs >= sinceMs &&
            quarantined === undefined,
        );
      const delivery = sent === undefined ? undefined : deliveries.get(sent);
      return { received, ...(delivery === undefined ? {} : { sent: viewSent(delivery) }) };
    },
  };
}

function viewSent(delivery: Delivery): {
  id: EnvelopeId;
  state: ReturnType<typeof deliveryState>;
  trouble?: string;
} {
  const trouble = (delivery.parked ?? delivery.refusal ?? delivery.lastError)?.message;
  return { id: delivery.id, state: deliveryState(delivery), ...(trouble === undefined ? {} : { trouble }) };
}
