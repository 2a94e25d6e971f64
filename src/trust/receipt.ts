/**
 * Receipts: what the receiving site states, and signs, about an envelope: that its PACS has every instance, with the
 * SHA-256 of each as it went there, or that it refuses the envelope, and why. A compact JWS (EdDSA) over JSON; the
 * `audit` part holds the `received` and `stored` steps of the JMIX audit trail, signed by themselves.
 */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { signCompactJws, verifyCompactJws } from '../jmix/manifest-jws.js';
import { keyFingerprint } from '../jmix/raw-keys.js';

/** `typ` of the JWS, so that nothing else that a site signs can pass for a receipt. */
const RECEIPT_TYPE = 'drawbridge-receipt+jws';

const instanceSchema = z.object({
  sop_instance_uid: z.string().max(64),
  /** Of the data set bytes, as they went to the PACS. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** C-STORE status by PACS name, e.g. `0x0000`. */
  status: z.record(z.string(), z.string()),
});

const receiptSchema = z.object({
  version: z.literal(1),
  envelope_id: z.uuid(),
  manifest_sha256: z.string().regex(/^[0-9a-f]{64}$/),
  receiver: z.object({ id: z.string(), name: z.string() }),
  outcome: z.enum(['stored', 'refused']),
  issued_at: z.iso.datetime(),
  reason: z.object({ code: z.string().max(64), message: z.string().max(500) }).optional(),
  audit: z.array(z.record(z.string(), z.unknown())).max(100),
  instances: z.array(instanceSchema).max(1_000_000),
});

export type Receipt = z.infer<typeof receiptSchema>;
export type ReceiptInstance = z.infer<typeof instanceSchema>;

export function signReceipt(receipt: Receipt, key: KeyObject, publicKey: KeyObject): Buffer {
  return signCompactJws(Buffer.from(JSON.stringify(receipt)), key, {
    alg: 'EdDSA',
    typ: RECEIPT_TYPE,
    kid: keyFingerprint(publicKey),
  });
}

/**
 * Verifies and reads a receipt.
 * @param keys pinned for the peer that it must come from
 * @throws RECEIPT_INVALID when it is not signed by one of them, is none, or is for another envelope
 */
export function readReceipt(
  jws: Buffer,
  expected: {
    readonly keys: readonly KeyObject[];
    readonly id: EnvelopeId;
    readonly receiverId: string;
    readonly manifestSha256: string;
  },
): Receipt {
  const receipt = parse(jws, expected.keys);
  if (
    receipt.envelope_id !== expected.id ||
    receipt.receiver.id !== expected.receiverId ||
    receipt.manifest_sha256 !== expected.manifestSha256
  ) {
    throw new GatewayError('RECEIPT_INVALID', 'the receipt is for another envelope, or by another site');
  }
  return receipt;
}

function parse(jws: Buffer, keys: readonly KeyObject[]): Receipt {
  try {
    const { header, payload } = verifyCompactJws(jws, keys);
    if (header['typ'] !== RECEIPT_TYPE) throw new GatewayError('RECEIPT_INVALID', 'this JWS is no receipt');
    return receiptSchema.parse(JSON.parse(payload.toString('utf8')));
  } catch (cause) {
    throw new GatewayError('RECEIPT_INVALID', 'the receipt is not signed by a key pinned for this peer', {
      cause,
    });
  }
}
