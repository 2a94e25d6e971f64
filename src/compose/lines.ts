/** The lines of a site, each made at its first use: to peers that can be called, and to exchanges. */
import { type Exchange, folderFor, hasInbox } from '../domain/exchange.js';
import type { Peer } from '../domain/peer.js';
import { GatewayError } from '../errors/gateway-error.js';
import { createFolderTransport } from '../transport/folder/transport.js';
import { createFtpsTransport } from '../transport/ftps/transport.js';
import { createHttpsTransport, type HttpsTransport } from '../transport/https/client.js';
import { createHubTransport } from '../transport/https/hub.js';
import type { Lines } from '../transport/lines.js';
import { createPace, type Pace } from '../transport/pace.js';
import type { Transport } from '../transport/transport.js';
import type { TlsIdentity } from '../trust/certificate.js';

export interface LineParts {
  readonly peers: ReadonlyMap<string, Peer>;
  readonly exchanges: ReadonlyMap<string, Exchange>;
  /** Our certificate towards those that ask for one. */
  readonly identity: TlsIdentity;
  /** See `readBridgeId`. */
  readonly bridgeId: string;
  /** Worker processes, which share what may be sent to a peer. */
  readonly processes: number;
}

export function createLines(parts: LineParts): Lines {
  const desks = new Map<string, { readonly peer: Peer; readonly line: HttpsTransport }>();
  /** Lines to where a peer was before: what is on its way there may end, and idle connections close by themselves. */
  const former: HttpsTransport[] = [];
  const places = new Map<string, Transport>();
  const paces = new Map<string, Pace>();

  const peerOf = (peerId: string): Peer => {
    const peer = parts.peers.get(peerId);
    if (peer === undefined)
      throw new GatewayError('PEER_REFUSED', `there is no peer ${peerId} in the config`);
    return peer;
  };
  const exchangeOf = (name: string): Exchange => {
    const exchange = parts.exchanges.get(name);
    if (exchange === undefined)
      throw new GatewayError('PEER_REFUSED', `there is no exchange ${name} in the config`);
    return exchange;
  };
  const deskOf = (peer: Peer): HttpsTransport => {
    const before = desks.get(peer.id);
    if (before !== undefined && isReachedAlike(before.peer, peer)) return before.line;
    // Without either, the certificate authorities of the operating system would do, and with them half the world.
    if (peer.certificateFingerprints.length === 0 && peer.certificateAuthority === undefined) {
      throw new GatewayError(
        'PEER_UNTRUSTED',
        `nothing is known of ${peer.id} by which it could be told from an impostor`,
      );
    }
    if (before !== undefined) former.push(before.line);
    const line = createHttpsTransport(peer, parts.identity);
    desks.set(peer.id, { peer, line });
    return line;
  };
  /** One for each folder that a server's outbox means; a hub is one place for all. */
  const placeAt = (exchange: Exchange, peerId?: string): Transport =>
    madeOnce(places, exchange.type === 'hub' ? exchange.name : `${exchange.name} ${peerId ?? ''}`, () =>
      openPlace(exchange, peerId, parts),
    );

  return {
    outboxTo(peerId) {
      const peer = peerOf(peerId);
      if (peer.via !== undefined) return placeAt(exchangeOf(peer.via), peerId);
      return deskOf(peer);
    },
    receiptDeskOf(peerId) {
      const peer = parts.peers.get(peerId);
      return peer?.url === undefined ? undefined : deskOf(peer);
    },
    inboxAt: (name) => placeAt(exchangeOf(name)),
    paceTo(peerId) {
      const bytesPerSecond = parts.peers.get(peerId)?.limits.bytesPerSecond;
      if (bytesPerSecond === undefined) return undefined;
      return madeOnce(paces, peerId, () => createPace(bytesPerSecond / Math.max(1, parts.processes)));
    },
    inboxes: [...parts.exchanges.values()].filter(hasInbox),
    close() {
      for (const { line } of desks.values()) line.close();
      for (const line of [...former, ...places.values()]) line.close();
    },
  };
}

/** Whether a line made for one is right for the other. */
function isReachedAlike(one: Peer, other: Peer): boolean {
  return (
    one.url === other.url &&
    one.certificateAuthority === other.certificateAuthority &&
    one.certificateFingerprints.join() === other.certificateFingerprints.join()
  );
}

function madeOnce<V>(known: Map<string, V>, key: string, make: () => V): V {
  const before = known.get(key);
  if (before !== undefined) return before;
  const made = make();
  known.set(key, made);
  return made;
}

function openPlace(exchange: Exchange, peerId: string | undefined, parts: LineParts): Transport {
  if (exchange.type === 'hub') return createHubTransport(exchange, parts.identity, parts.bridgeId);
  const { outbox, inbox } = exchange;
  const boxes = {
    ...(outbox === undefined || peerId === undefined ? {} : { outbox: folderFor(outbox, peerId) }),
    ...(inbox === undefined ? {} : { inbox }),
    afterTaking: exchange.afterTaking,
    claimer: parts.bridgeId,
  };
  if (exchange.type === 'folder') return createFolderTransport({ ...boxes, settleMs: exchange.settleMs });
  const { host, port, user, trust, clientCertificate } = exchange;
  return createFtpsTransport({
    ...boxes,
    host,
    port,
    user,
    password: () => exchange.password(),
    trust,
    ...(clientCertificate ? { clientIdentity: parts.identity } : {}),
  });
}
