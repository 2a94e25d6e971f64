/**
 * A hub as directory: it attests what its config says of a site. The text is made anew now and then, so that one that
 * somebody kept grows stale.
 */
import type { Settings } from '../config/settings.js';
import type { Clock } from '../domain/clock.js';
import { signAttestation } from '../trust/attestation.js';
import type { SiteKeys } from '../trust/site-keys.js';

const DAY_MS = 24 * 3_600_000;
/** A directory that cannot be reached for so long has no word in it any more. */
const VALID_MS = 30 * DAY_MS;
const REMADE_AFTER_MS = DAY_MS;

/** @returns what gives the attestation of a site, as compact JWS; undefined for one that is not in the config */
export function createHubDirectory(
  { site, peers }: Pick<Settings, 'site' | 'peers'>,
  keys: Pick<SiteKeys, 'signing'>,
  clock: Clock,
): (siteId: string) => Buffer | undefined {
  const made = new Map<string, { readonly jws: Buffer; readonly key: unknown; readonly atMs: number }>();
  return (siteId) => {
    const peer = peers.find(({ id }) => id === siteId);
    if (peer === undefined) return undefined;
    const nowMs = clock.now();
    const key = keys.signing.privateKey;
    const before = made.get(siteId);
    if (before !== undefined && before.key === key && nowMs - before.atMs < REMADE_AFTER_MS)
      return before.jws;
    const jws = signAttestation(
      {
        provider: site.id,
        issuedAtMs: nowMs,
        expiresAtMs: nowMs + VALID_MS,
        site: {
          id: peer.id,
          name: peer.name,
          contact: peer.contact,
          ...(peer.url === undefined ? {} : { url: peer.url }),
          ...(peer.encryptionKey === undefined ? {} : { encryption_key: peer.encryptionKey }),
          signing_keys: peer.signingKeys,
          certificate_fingerprints: peer.certificateFingerprints,
        },
      },
      key,
    );
    made.set(siteId, { jws, key, atMs: nowMs });
    return jws;
  };
}
