/** What a partner has to know of this site, as the `peers` entry that they paste into their config. */
import type { Settings } from '../config/settings.js';
import { rawPublicKey } from '../jmix/raw-keys.js';
import { certificateFingerprint } from '../trust/certificate.js';
import type { SiteKeys } from '../trust/site-keys.js';

export interface PartnerCard {
  readonly id: string;
  readonly name: string;
  readonly contact: string;
  /** Absent for a bridge that cannot be called. */
  readonly url?: string;
  readonly encryptionKey: string;
  readonly signingKeys: readonly string[];
  readonly certificateFingerprints: readonly string[];
}

/** @param host under which partners reach us */
export function partnerCard(
  settings: Settings,
  keys: SiteKeys,
  host: string,
  port = settings.https.port,
): PartnerCard {
  return {
    ...settings.site,
    ...(settings.https.listen ? { url: `https://${host}:${port}` } : {}),
    encryptionKey: rawPublicKey(keys.encryption.publicKey).toString('base64'),
    signingKeys: [rawPublicKey(keys.signing.publicKey).toString('base64')],
    certificateFingerprints: [certificateFingerprint(keys.tls.certificate)],
  };
}
