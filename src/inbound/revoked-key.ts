/**
 * Why an envelope does not open: it is sealed to a key that we have revoked, of which our partners were told. Whoever
 * sealed it has not heard of that, so the refusal says it. Nothing is opened here, and nothing written.
 */
import type { KeyObject } from 'node:crypto';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import { findPayloadKey } from '../jmix/candidate-key.js';
import type { EnvelopeSource } from '../jmix/envelope-folder.js';
import { readManifest } from '../jmix/manifest.js';

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
