/** What the directory says of a site becomes part of its record. Where it counts, and before what, peer-keys.ts says. */
import type { Attestation } from './attestation.js';
import { kidOf } from './peer-keys.js';
import type { PeerRecord } from './peer-record.js';

/**
 * Pure; the very same record where nothing is new.
 * @param attestation verified
 * @param foreign kids that count for other peers: not even a directory gives them away
 */
export function noteListing(
  record: PeerRecord,
  jws: string,
  { site, issuedAtMs, expiresAtMs }: Attestation,
  foreign: ReadonlySet<string>,
): PeerRecord {
  const before = record.directory;
  if (before !== undefined && (before.issuedAtMs > issuedAtMs || before.attestation === jws)) return record;
  const { encryption_key: encryptionKey, signing_keys: listed } = site;
  const signingKeys = listed.filter((key) => !foreign.has(kidOf(key, 'signing')));
  const isOwn = encryptionKey !== undefined && !foreign.has(kidOf(encryptionKey, 'encryption'));
  return {
    ...record,
    directory: {
      card: {
        id: site.id,
        name: site.name,
        contact: site.contact,
        ...(site.url === undefined ? {} : { url: site.url }),
        ...(isOwn ? { encryptionKey } : {}),
        ...(signingKeys.length === 0 ? {} : { signingKeys }),
        certificateFingerprints: site.certificate_fingerprints,
      },
      attestation: jws,
      issuedAtMs,
      expiresAtMs,
    },
  };
}
