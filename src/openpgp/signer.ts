/**
 * Whether an OpenPGP message is by whom it must be: a good signature by a key whose primary key's fingerprint is pinned.
 * A signature that is bad, revoked or past its time refuses the message even beside a good one.
 */
import { GatewayError } from '../errors/gateway-error.js';
import type { Signature } from './decrypt.js';

export interface SignerRule {
  /** Fingerprints of primary keys, upper hex. */
  readonly pinned: readonly string[];
  /** Whether a message that nobody signed passes. */
  readonly allowUnsigned: boolean;
}

/**
 * @returns the fingerprint of the pinned primary key; undefined for an unsigned message, where those pass
 * @throws SIGNER_NOT_PINNED, ASSERTION_INVALID for a signature of which nothing certain is known, ASSERTION_EXPIRED,
 *   KEY_REVOKED
 */
export function signerOf(signatures: readonly Signature[], rule: SignerRule): string | undefined {
  if (signatures.length === 0) {
    if (rule.allowUnsigned) return undefined;
    throw new GatewayError('SIGNER_NOT_PINNED', 'the OpenPGP message is not signed');
  }
  for (const { verdict } of signatures) assertNotRefused(verdict);
  const good = signatures.filter(({ verdict }) => verdict === 'good');
  const pinned = good.find(({ primaryFingerprint = '' }) => rule.pinned.includes(primaryFingerprint));
  if (pinned?.primaryFingerprint !== undefined) return pinned.primaryFingerprint;
  const fingerprint = good[0]?.primaryFingerprint;
  throw new GatewayError(
    'SIGNER_NOT_PINNED',
    'the OpenPGP message is signed by a key that is not pinned, or not known here',
    fingerprint === undefined ? {} : { facts: { fingerprint } },
  );
}

function assertNotRefused(verdict: Signature['verdict']): void {
  switch (verdict) {
    case 'bad':
      throw new GatewayError('ASSERTION_INVALID', 'an OpenPGP signature is not in order');
    case 'expired':
      throw new GatewayError('ASSERTION_EXPIRED', 'an OpenPGP signature has expired');
    case 'expired-key':
      throw new GatewayError('ASSERTION_EXPIRED', 'the OpenPGP message is signed by a key that has expired');
    case 'revoked-key':
      throw new GatewayError('KEY_REVOKED', 'the OpenPGP message is signed by a key that was revoked');
    case 'good':
    case 'unchecked':
  }
}
