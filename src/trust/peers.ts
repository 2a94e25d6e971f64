/** The configured peers with their keys, and who it is that holds a certificate. */
import type { PeerSettings, Settings } from '../config/settings.js';
import type { Pacs, Peer } from '../domain/peer.js';
import { parseTimeWindow } from '../domain/time-window.js';
import { GatewayError } from '../errors/gateway-error.js';
import { readCa } from './config-files.js';
import { parsePublicKey } from './key-files.js';

/** @throws CONFIG_INVALID when a CA file cannot be read, KEY_UNREADABLE for a bad key */
export async function readPeers(settings: Settings): Promise<ReadonlyMap<string, Peer>> {
  const allPacs = settings.pacs.map((pacs) => pacs.name);
  const peers = await Promise.all(settings.peers.map((peer) => readPeer(peer, allPacs)));
  return new Map(peers.map((peer) => [peer.id, peer]));
}

/** The configured PACS by name. */
export function readPacs(settings: Settings): ReadonlyMap<string, Pacs> {
  const ours = settings.dimse.aeTitles[0];
  if (ours === undefined) throw new GatewayError('CONFIG_INVALID', 'dimse.aeTitles: expected at least one');
  return new Map(
    settings.pacs.map(({ name, aeTitle, host, port, callingAeTitle }) => [
      name,
      { name, aeTitle, host, port, callingAe: callingAeTitle ?? ours },
    ]),
  );
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

async function readPeer(settings: PeerSettings, allPacs: readonly string[]): Promise<Peer> {
  const { id, name, contact, url, via, encryptionKey, signingKeys, certificateFingerprints, caFile } =
    settings;
  const { concurrency, bytesPerSecond, windows } = settings;
  return {
    id,
    name,
    contact,
    ...(url === undefined ? {} : { url }),
    ...(via === undefined ? {} : { via }),
    ...(encryptionKey === undefined ? {} : { encryptionKey: parsePublicKey(encryptionKey, 'encryption') }),
    dialect: settings.dialect,
    signingKeys: signingKeys.map((key) => parsePublicKey(key, 'signing')),
    certificateFingerprints,
    ...(caFile === undefined
      ? {}
      : { certificateAuthority: await readCa(`peers: the caFile of ${id}`, caFile) }),
    deliverTo: settings.deliverTo ?? allPacs,
    allowUnsigned: settings.allowUnsigned,
    limits: {
      places: concurrency,
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
      windows: windows.map(parseTimeWindow),
    },
  };
}
