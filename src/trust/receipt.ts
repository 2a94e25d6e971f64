/**
 * Receipts: what the receiving site states, and signs, about an envelope: that its PACS has every instance, with the
 * SHA-256 of each as it went there, or that it refuses the envelope, and why. A compact JWS (EdDSA) over JSON; the
 * `audit` part is the envelope's audit trail as it came, with the receiver's own `received` and `stored` steps chained to it
 * (jmix/custody-step.ts), so that the sender sees what became of its own step on the way.
 */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { parseCompactJws, signCompactJws, verifyCompactJws } from '../jmix/manifest-jws.js';
import { keyFingerprint } from '../jmix/raw-keys.js';

/** `typ` of the JWS, so that nothing else that a site signs can pass for a receipt. */
const RECEIPT_TYPE = 'drawbridge-receipt+jws';
/** Protected header: statements about the receiver's keys (announcement.ts), for a sender that does not know them yet. */
const ANNOUNCEMENTS = 'drawbridge_announcements';
/** Read and written at most; the newest stand last. */
const MAX_ANNOUNCEMENTS = 32;
const MAX_ANNOUNCEMENT_CHARACTERS = 8192;

/** Steps in a receipt, the receiver's own included; readers refuse more. */
export const RECEIPT_MAX_STEPS = 100;

const SHA256_HEX = z.string().regex(/^[0-9a-f]{64}$/);

const instanceSchema = z.object({
  sop_instance_uid: z.string().max(64),
  /** Of the data set bytes that were sealed; they went to the PACS, unless `converted` says other. */
  sha256: SHA256_HEX,
  /** C-STORE status by PACS name, e.g. `0x0000`. */
  status: z.record(z.string(), z.string()),
  /**
   * By PACS name, for those that took it only in another transfer syntax: which, and the SHA-256 of what went there, which
   * is then not `sha256`. It was converted without loss. Readers that do not know this member pass over it.
   */
  converted: z
    .record(z.string(), z.object({ transfer_syntax: z.string().max(64), sha256: SHA256_HEX }))
    .optional(),
});

const receiptSchema = z.object({
  version: z.literal(1),
  envelope_id: z.uuid(),
  manifest_sha256: SHA256_HEX,
  receiver: z.object({ id: z.string(), name: z.string() }),
  outcome: z.enum(['stored', 'refused']),
  issued_at: z.iso.datetime(),
  reason: z.object({ code: z.string().max(64), message: z.string().max(500) }).optional(),
  /** By PACS name: what it said when it was asked to commit to what it stored (DICOM PS3.4 Annex J). */
  commitment: z.record(z.string(), z.object({ state: z.string().max(32), at: z.iso.datetime() })).optional(),
  audit: z.array(z.record(z.string(), z.unknown())).max(RECEIPT_MAX_STEPS),
  instances: z.array(instanceSchema).max(1_000_000),
});

export type Receipt = z.infer<typeof receiptSchema>;
export type ReceiptInstance = z.infer<typeof instanceSchema>;

/** @param announcements of the receiver's keys, compact JWS each */
export function signReceipt(
  receipt: Receipt,
  key: KeyObject,
  publicKey: KeyObject,
  announcements: readonly string[] = [],
): Buffer {
  return signCompactJws(Buffer.from(JSON.stringify(receipt)), key, {
    alg: 'EdDSA',
    typ: RECEIPT_TYPE,
    kid: keyFingerprint(publicKey),
    ...(announcements.length === 0 ? {} : { [ANNOUNCEMENTS]: announcements.slice(-MAX_ANNOUNCEMENTS) }),
  });
}

/**
 * What a receipt says of its signer's keys, before it is verified: each statement proves itself, or is worth nothing.
 * @throws RECEIPT_INVALID when it is no compact JWS
 */
export function receiptAnnouncements(jws: Buffer): readonly string[] {
  const found = asReceiptError(() => parseCompactJws(jws)).header[ANNOUNCEMENTS];
  if (!Array.isArray(found)) return [];
  return found
    .filter((each) => typeof each === 'string')
    .filter(({ length }) => length <= MAX_ANNOUNCEMENT_CHARACTERS)
    .slice(-MAX_ANNOUNCEMENTS);
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
  return asReceiptError(() => {
    const { header, payload } = verifyCompactJws(jws, keys);
    if (header['typ'] !== RECEIPT_TYPE) throw new GatewayError('RECEIPT_INVALID', 'this JWS is no receipt');
    return receiptSchema.parse(JSON.parse(payload.toString('utf8')));
  });
}

function asReceiptError<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new GatewayError('RECEIPT_INVALID', 'the receipt is not signed by a key pinned for this peer', {
      cause,
    });
  }
}
