/** A peer as the bridge works with it, made of its config entry and of what was learned; and who holds a certificate. */
import { type PeerSettings, settingsSchema } from '../config/settings.js';
import type { Peer } from '../domain/peer.js';
import { parseTimeWindow } from '../domain/time-window.js';
import { parsePublicKey } from './key-files.js';
import type { PeerKeys } from './peer-keys.js';
import type { PeerRecord } from './peer-record.js';

/** What the config has where nobody said whom to ring. */
const UNKNOWN_CONTACT = 'unknown';

/** A peer with all that is known of it. */
export interface KnownPeer {
  readonly peer: Peer;
  /** Of the config; by default for a peer that is only paired. */
  readonly entry: PeerSettings;
  readonly isConfigured: boolean;
  readonly record: PeerRecord;
  readonly keys: PeerKeys;
}

/** What a peer is made of. */
export interface PeerMakings {
  readonly entry: PeerSettings;
  readonly record: PeerRecord | undefined;
  readonly keys: PeerKeys;
  /** PEM. */
  readonly certificateAuthority: string | undefined;
  readonly allPacs: readonly string[];
}

/** What the config says goes before what pairing brought, and that before the directory. */
export function makePeer({ entry, record, keys, certificateAuthority, allPacs }: PeerMakings): Peer {
  const { via, concurrency, bytesPerSecond, windows } = entry;
  const { url, certificateFingerprints, openpgpFingerprints } = reachOf(entry, record);
  return {
    id: entry.id,
    name: entry.name,
    contact: contactOf(entry, record),
    ...(url === undefined ? {} : { url }),
    ...(via === undefined ? {} : { via }),
    ...(keys.encryption === undefined
      ? {}
      : { encryptionKey: parsePublicKey(keys.encryption.key, 'encryption') }),
    directory: entry.directory,
    dialect: entry.dialect,
    seal: entry.seal,
    receipts: entry.receipts,
    signingKeys: keys.signing.map(({ key }) => parsePublicKey(key, 'signing')),
    openpgpFingerprints,
    certificateFingerprints,
    ...(certificateAuthority === undefined ? {} : { certificateAuthority }),
    deliverTo: entry.deliverTo ?? allPacs,
    allowUnsigned: entry.allowUnsigned,
    limits: {
      places: concurrency,
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
      windows: windows.map(parseTimeWindow),
    },
  };
}

/** Where a peer is, and by what its server and its OpenPGP messages are known. */
export function reachOf(
  entry: PeerSettings,
  record: PeerRecord | undefined,
): {
  readonly url: string | undefined;
  readonly certificateFingerprints: readonly string[];
  readonly openpgpFingerprints: readonly string[];
} {
  const cards = cardsOf(entry, record);
  const filled = <T>(lists: readonly (readonly T[] | undefined)[]) =>
    lists.find((list) => list !== undefined && list.length > 0) ?? [];
  return {
    url: entry.url ?? (entry.via === undefined ? cards.find(({ url }) => url !== undefined)?.url : undefined),
    certificateFingerprints:
      entry.caFile === undefined
        ? filled([entry, ...cards].map((each) => each.certificateFingerprints))
        : entry.certificateFingerprints,
    openpgpFingerprints: filled([entry, ...cards].map((each) => each.openpgpFingerprints)),
  };
}

/** Whom to ring: a default says nothing that a card could not say better. */
function contactOf(entry: PeerSettings, record: PeerRecord | undefined): string {
  if (entry.contact !== UNKNOWN_CONTACT) return entry.contact;
  const said = cardsOf(entry, record).find(({ contact }) => contact !== UNKNOWN_CONTACT);
  return said?.contact ?? entry.contact;
}

function cardsOf(entry: PeerSettings, record: PeerRecord | undefined) {
  return [record?.paired?.card, entry.directory ? record?.directory?.card : undefined].filter(
    (card) => card !== undefined,
  );
}

/** The config entry that a paired peer would have, were there one: everything by default. */
export function entryFor({ paired }: PeerRecord): PeerSettings | undefined {
  if (paired === undefined) return undefined;
  const { id, name, contact } = paired.card;
  return settingsSchema.shape.peers.parse([{ id, name, contact }])[0];
}

/** What TLS tells of a client or server certificate. */
export interface CertificateFacts {
  /** SHA-256: 64 lower hex digits. */
  readonly fingerprint: string;
  /** A configured CA vouches for it. */
  readonly authorized: boolean;
  readonly names: readonly string[];
}

/**
 * The peer that holds a certificate: the one that pins its fingerprint, else one that trusts a CA and whose host name
 * the certificate carries.
 */
export function identifyPeer(
  peers: ReadonlyMap<string, Peer>,
  certificate: CertificateFacts,
): Peer | undefined {
  for (const peer of peers.values()) {
    if (peer.certificateFingerprints.includes(certificate.fingerprint)) return peer;
  }
  if (!certificate.authorized) return undefined;
  for (const peer of peers.values()) {
    if (peer.certificateAuthority === undefined || peer.url === undefined) continue;
    if (certificate.names.includes(new URL(peer.url).hostname)) return peer;
  }
  return undefined;
}
