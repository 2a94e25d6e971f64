/**
 * Why an envelope does not open: it is sealed to a key that we have revoked, of which our partners were told; or it is
 * signed by one that its sender has revoked. Whoever made it has not heard of that, or is a thief, so the refusal says it.
 * Nothing is opened here, and nothing written.
 */
import type { KeyObject } from 'node:crypto';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { findPayloadKey } from '../jmix/candidate-key.js';
import type { EnvelopeSource } from '../jmix/envelope-folder.js';
import { jwkThumbprint } from '../jmix/jwk-thumbprint.js';
import { readManifest } from '../jmix/manifest.js';
import { ed25519PublicKey, RAW_KEY_BYTES } from '../jmix/raw-keys.js';

/**
 * @param error by which opening it failed, with every key that is honoured
 * @param revoked private encryption keys
 * @returns `error`, or KEY_REVOKED in its place
 */
export async function tellRevoked(
  error: unknown,
  source: EnvelopeSource,
  revoked: readonly KeyObject[],
): Promise<unknown> {
  const isClosed = isGatewayError(error) && error.code === 'PAYLOAD_DECRYPT_FAILED';
  if (!isClosed || revoked.length === 0 || !(await isSealedTo(source, revoked))) return error;
  return new GatewayError(
    'KEY_REVOKED',
    'the payload is sealed to a key that this site has revoked, expected its present key',
    { cause: error },
  );
}

/**
 * @param error by which the signatures were refused
 * @param revoked thumbprints and fingerprints of keys that the sender has revoked
 * @throws KEY_REVOKED when the signer's is among them
 */
export function assertNotRevoked(
  error: GatewayError,
  { manifest }: EnvelopeSource,
  revoked: ReadonlySet<string>,
): void {
  if (revoked.size === 0) return;
  const { fingerprint, kid } = error.facts;
  // The fingerprint is that of an assertion whose signature holds, by the key that stands in it.
  const names = fingerprint === undefined ? [kid] : [fingerprint, assertionThumbprint(manifest)];
  if (!names.some((name) => typeof name === 'string' && revoked.has(name))) return;
  throw new GatewayError(
    'KEY_REVOKED',
    'the envelope is signed by a key that its sender has revoked: whoever made it may have stolen that key',
    { cause: error },
  );
}

function assertionThumbprint(manifest: Buffer): string | undefined {
  const { signing_key } = readManifest(manifest).sender.assertion ?? {};
  if (typeof signing_key !== 'object' || signing_key === null || !('public_key' in signing_key))
    return undefined;
  const raw = Buffer.from(String(signing_key.public_key), 'base64');
  return raw.length === RAW_KEY_BYTES ? jwkThumbprint(ed25519PublicKey(raw)) : undefined;
}

async function isSealedTo(
  { manifest, payload }: EnvelopeSource,
  keys: readonly KeyObject[],
): Promise<boolean> {
  if (payload.kind !== 'sealed') return false;
  try {
    const { encryption, contentKey } = readManifest(manifest);
    if (encryption === undefined) return false;
    await findPayloadKey(payload, encryption, keys, contentKey);
    return true;
  } catch {
    return false;
  }
}
