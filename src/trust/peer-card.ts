/**
 * What one site has to know of another before it sends it anything: the card that `init` shows, that pairing exchanges,
 * and that stands as an entry of `peers` in a config. Public keys and addresses only; nothing of it is secret, and
 * nothing of it counts before people have compared it.
 */
import { z } from 'zod';
import type { Settings } from '../config/settings.js';
import { rawPublicKey } from '../jmix/raw-keys.js';
import { certificateFingerprint } from './certificate.js';
import type { SiteKeys } from './site-keys.js';

const MAX_KEYS = 16;
const MAX_TEXT = 200;

/** A raw 32-byte public key in base64. */
export const rawKeyText = z.string().regex(/^[A-Za-z0-9+/]{43}=$/);
/** As `peers[].id` in the config: safe in a file name. */
const peerIdText = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/);

/** A card as it comes from outside. */
export const peerCardSchema = z.object({
  /** Organisation id. */
  id: peerIdText,
  name: z.string().min(1).max(MAX_TEXT),
  contact: z.string().min(1).max(MAX_TEXT),
  /** `https://host:port`; absent for a bridge that cannot be called. */
  url: z.url({ protocol: /^https$/ }).optional(),
  /** X25519. */
  encryptionKey: rawKeyText,
  /** Ed25519. */
  signingKeys: z.array(rawKeyText).min(1).max(MAX_KEYS),
  /** SHA-256 of its TLS certificate: 64 lower hex digits. */
  certificateFingerprints: z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(MAX_KEYS),
  /** Upper hex, of OpenPGP primary keys. */
  openpgpFingerprints: z
    .array(z.string().regex(/^(?:[0-9A-F]{40}|[0-9A-F]{64})$/))
    .max(MAX_KEYS)
    .optional(),
});

export type PeerCard = Readonly<z.infer<typeof peerCardSchema>>;

/**
 * Our own card.
 * @param host under which partners reach us
 */
export function ownCard(
  settings: Settings,
  keys: Pick<SiteKeys, 'encryption' | 'signing' | 'tls'>,
  host: string,
  port = settings.https.port,
): PeerCard {
  return {
    ...settings.site,
    ...(settings.https.listen ? { url: `https://${host}:${port}` } : {}),
    encryptionKey: rawPublicKey(keys.encryption.publicKey).toString('base64'),
    signingKeys: [rawPublicKey(keys.signing.publicKey).toString('base64')],
    certificateFingerprints: [certificateFingerprint(keys.tls.certificate)],
  };
}
