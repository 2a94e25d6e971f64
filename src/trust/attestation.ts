/**
 * Attestations: what a directory says, and signs, about one site: its keys and where it is reached. A compact JWS
 * (EdDSA) over JSON. The same text answers a look-up, and stands as `directory_attestation` in the sender assertion of
 * that site's envelopes (JMIX manifest, entity assertions), where the receiver can hold it against the directory's key.
 * A directory vouches; it decides nothing: pins of the config are not touched, and nothing is opened by its help.
 */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { formatTimestamp } from '../domain/clock.js';
import { GatewayError } from '../errors/gateway-error.js';
import { signCompactJws, verifyCompactJws } from '../jmix/manifest-jws.js';
import { ed25519PublicKey, keyFingerprint } from '../jmix/raw-keys.js';

/** `typ` of the JWS, so that nothing else that a directory signs can pass for an attestation. */
const ATTESTATION_TYPE = 'drawbridge-attestation+jws';
/** A card is a few hundred bytes. */
const ATTESTATION_MAX_BYTES = 64 * 1024;
const MAX_KEYS = 16;

const rawKey = z.string().regex(/^[A-Za-z0-9+/]{43}=$/);

const siteSchema = z.object({
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/),
  name: z.string().min(1).max(200),
  contact: z.string().min(1).max(200),
  url: z.url({ protocol: /^https$/ }).optional(),
  encryption_key: rawKey.optional(),
  signing_keys: z.array(rawKey).max(MAX_KEYS),
  certificate_fingerprints: z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(MAX_KEYS),
});

const attestationSchema = z.object({
  version: z.literal(1),
  provider: z.string().min(1).max(64),
  issued_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  site: siteSchema,
});

/** What a directory knows of a site; keys as raw 32 bytes in base64. */
export type AttestedSite = z.infer<typeof siteSchema>;

export interface Attestation {
  /** Organisation id of the directory, as it calls itself. */
  readonly provider: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  readonly site: AttestedSite;
  /** Fingerprint of the directory's key. */
  readonly signedBy: string;
}

/** @returns a compact JWS, ASCII */
export function signAttestation(attestation: Omit<Attestation, 'signedBy'>, key: KeyObject): Buffer {
  const { provider, issuedAtMs, expiresAtMs, site } = attestation;
  const document = attestationSchema.parse({
    version: 1,
    provider,
    issued_at: formatTimestamp(issuedAtMs),
    expires_at: formatTimestamp(expiresAtMs),
    site,
  });
  return signCompactJws(Buffer.from(JSON.stringify(document)), key, {
    alg: 'EdDSA',
    typ: ATTESTATION_TYPE,
    kid: keyFingerprint(key),
  });
}

/**
 * Verifies and reads an attestation.
 * @param keys of the directory, from the config
 * @throws DIRECTORY_INVALID when none of them signed it, it is none, it is about another site, or it has expired
 */
export function readAttestation(
  jws: Buffer,
  expected: { readonly keys: readonly KeyObject[]; readonly siteId: string; readonly nowMs: number },
): Attestation {
  const attestation = parse(jws, expected.keys);
  if (attestation.site.id !== expected.siteId) {
    throw new GatewayError(
      'DIRECTORY_INVALID',
      `the directory's attestation is about ${attestation.site.id}, expected ${expected.siteId}`,
    );
  }
  if (attestation.expiresAtMs <= expected.nowMs) {
    throw new GatewayError(
      'DIRECTORY_INVALID',
      `the directory's attestation expired at ${formatTimestamp(attestation.expiresAtMs)}`,
    );
  }
  return attestation;
}

/** Whether the attestation names the Ed25519 key of this fingerprint as one that the site signs with. */
export function attestsSigner({ site }: Attestation, fingerprint: string): boolean {
  return site.signing_keys.some(
    (raw) => keyFingerprint(ed25519PublicKey(Buffer.from(raw, 'base64'))) === fingerprint,
  );
}

function parse(jws: Buffer, keys: readonly KeyObject[]): Attestation {
  if (jws.length > ATTESTATION_MAX_BYTES) {
    throw new GatewayError(
      'DIRECTORY_INVALID',
      `an attestation of ${jws.length} bytes, at most ${ATTESTATION_MAX_BYTES} bytes are read`,
    );
  }
  try {
    const { header, payload, key } = verifyCompactJws(jws, keys);
    if (header['typ'] !== ATTESTATION_TYPE) {
      throw new GatewayError('DIRECTORY_INVALID', 'this JWS is no attestation');
    }
    const read = attestationSchema.parse(JSON.parse(payload.toString('utf8')));
    return {
      provider: read.provider,
      issuedAtMs: Date.parse(read.issued_at),
      expiresAtMs: Date.parse(read.expires_at),
      site: read.site,
      signedBy: keyFingerprint(key),
    };
  } catch (cause) {
    throw new GatewayError('DIRECTORY_INVALID', 'no configured key of the directory attests this', { cause });
  }
}
