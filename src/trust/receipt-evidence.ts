/**
 * A receipt before somebody who has no bridge, only the envelope's manifest and the keys that they trust: whether it is a
 * receipt for this very envelope, by one of its receivers, and whose key signed it. It does not expire: it counts as of
 * the day it was signed, and whether the key is to be trusted is for the verifier to say.
 */
import type { KeyObject } from 'node:crypto';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import type { KnownKey } from '../jmix/custody.js';
import { keyNamedIn } from '../jmix/custody-step.js';
import type { Manifest } from '../jmix/manifest.js';
import { parseCompactJws, verifyCompactJws } from '../jmix/manifest-jws.js';
import { keyFingerprint } from '../jmix/raw-keys.js';
import { isJsonObject, type JsonObject, parseStrictObject } from '../jmix/strict-json.js';
import { type Receipt, readReceipt } from './receipt.js';

export interface ReceiptEvidence {
  readonly receipt: Receipt;
  /** Whose signature it bears. */
  readonly key: KeyObject;
  /** The verifier knows that key. */
  readonly pinned: boolean;
}

/**
 * @param known the verifier's keys; those of another party than the receiver do not count
 * @param allowUnknown takes a key that only the receipt itself names; then it proves no more than that somebody signed it
 * @throws RECEIPT_INVALID; SIGNER_NOT_PINNED when it is signed by a key that is not among `known`
 */
export function verifyReceipt(
  jws: Buffer,
  manifest: Manifest,
  known: readonly KnownKey[],
  allowUnknown: boolean,
): ReceiptEvidence {
  const statement = statementOf(jws);
  const receiverId = receiverOf(statement, manifest);
  const pinned = known.filter(({ id }) => id === undefined || id === receiverId).map(({ key }) => key);
  const expected = { id: manifest.id, receiverId, manifestSha256: manifest.sha256 };
  try {
    const receipt = readReceipt(jws, { ...expected, keys: pinned });
    return { receipt, key: verifyCompactJws(jws, pinned).key, pinned: true };
  } catch (error) {
    const named = keysNamedIn(statement);
    if (!isSignedByOneOf(jws, named)) throw isUnpinned(error) ? unpinned(error) : error;
    if (!allowUnknown) throw isSignedByOneOf(jws, pinned) ? error : unpinned(error);
    const receipt = readReceipt(jws, { ...expected, keys: named });
    return { receipt, key: verifyCompactJws(jws, named).key, pinned: false };
  }
}

/** What it says, before anybody has verified it. */
function statementOf(jws: Buffer): JsonObject {
  try {
    return parseStrictObject(parseCompactJws(jws).payload, 'receipt', 'RECEIPT_INVALID');
  } catch (cause) {
    throw new GatewayError('RECEIPT_INVALID', 'the receipt is not a signed JSON document', { cause });
  }
}

function receiverOf(statement: JsonObject, { receivers }: Manifest): string {
  const receiver = statement['receiver'];
  const id = isJsonObject(receiver) ? receiver['id'] : undefined;
  if (typeof id === 'string' && receivers.some((each) => each.id === id)) return id;
  throw new GatewayError('RECEIPT_INVALID', 'the receipt is not by a receiver of the envelope');
}

/** Keys in the signed steps of the receipt's trail, each once. */
function keysNamedIn({ audit }: JsonObject): readonly KeyObject[] {
  const entries = Array.isArray(audit) ? audit.filter(isJsonObject) : [];
  const keys = entries.map(({ assertion }) => keyNamedIn(assertion)).filter((key) => key !== undefined);
  return [...new Map(keys.map((key) => [keyFingerprint(key), key])).values()];
}

function isSignedByOneOf(jws: Buffer, keys: readonly KeyObject[]): boolean {
  try {
    verifyCompactJws(jws, keys);
    return true;
  } catch (error) {
    if (isGatewayError(error)) return false;
    throw error;
  }
}

function isUnpinned(error: unknown): boolean {
  return isGatewayError(error) && isGatewayError(error.cause) && error.cause.code === 'SIGNER_NOT_PINNED';
}

function unpinned(cause: unknown): GatewayError {
  return new GatewayError(
    'SIGNER_NOT_PINNED',
    'the receipt is signed by a key that is not among those given',
    {
      cause,
    },
  );
}
