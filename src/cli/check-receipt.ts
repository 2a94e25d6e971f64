/** A receipt beside the manifest and the audit trail that it belongs to. */
import { plainText } from '../domain/plain-text.js';
import { isGatewayError } from '../errors/gateway-error.js';
import { type AuditEntry, parseAuditTrail } from '../jmix/audit-trail.js';
import type { KnownKey } from '../jmix/custody.js';
import type { Manifest } from '../jmix/manifest.js';
import { keyFingerprint } from '../jmix/raw-keys.js';
import { judgeReceiptTrail, type ReceiptCustody } from '../trust/receipt-custody.js';
import { type ReceiptEvidence, verifyReceipt } from '../trust/receipt-evidence.js';
import type { Checks } from './checks.js';
import { custodyJson, shortFingerprint } from './custody-view.js';

export type CheckedReceipt = ReceiptEvidence & { readonly custody: ReceiptCustody };

export interface ReceiptRequest {
  readonly manifest: Manifest;
  /** The bytes of the envelope's audit.json, which the receipt's trail must begin with. */
  readonly start: Buffer | undefined;
  readonly known: readonly KnownKey[];
  readonly allowUnknown: boolean;
}

/** Notes `receipt` and `receipt_custody`; a trail that is broken does not make the receipt worth less. */
export async function checkReceipt(
  checks: Checks<'receipt' | 'receipt_custody'>,
  jws: Buffer | undefined,
  { manifest, start, known, allowUnknown }: ReceiptRequest,
): Promise<CheckedReceipt | undefined> {
  if (jws === undefined) {
    checks.note('receipt', 'absent');
    checks.note('receipt_custody', 'absent');
    return undefined;
  }
  const evidence = await checks.run('receipt', () => verifyReceipt(jws, manifest, known, allowUnknown));
  if (evidence === undefined) return undefined;
  const { receipt, key } = evidence;
  const subject = { envelopeId: manifest.id, manifestSha256: manifest.sha256 };
  const bound = boundKeys(known, receipt.receiver.id, keyFingerprint(key));
  const custody = judgeReceiptTrail(receipt, readableTrail(start), subject, bound);
  if (custody.result === 'failed') {
    const problem = custody.problem ?? `step ${(custody.brokenAt ?? 0) + 1} does not hold`;
    checks.fail('receipt_custody', 'CUSTODY_BROKEN', `the audit trail in the receipt: ${problem}`);
  } else {
    checks.note('receipt_custody', custody.result);
  }
  return { ...evidence, custody };
}

/** The same keys; the one that signed for a party counts in the trail for that party alone. */
export function boundKeys(
  keys: readonly KnownKey[],
  partyId: string,
  signedBy: string | undefined,
): readonly KnownKey[] {
  return keys.map((known) =>
    known.id === undefined && keyFingerprint(known.key) === signedBy ? { ...known, id: partyId } : known,
  );
}

/** What is wrong with audit.json itself, its own check tells. */
function readableTrail(bytes: Buffer | undefined): readonly AuditEntry[] {
  try {
    return bytes === undefined ? [] : parseAuditTrail(bytes);
  } catch (error) {
    if (isGatewayError(error)) return [];
    throw error;
  }
}

/** Stable members, documented in README. */
export function receiptJson({ receipt, key, pinned, custody }: CheckedReceipt) {
  return {
    outcome: receipt.outcome,
    issued_at: receipt.issued_at,
    receiver: receipt.receiver,
    reason: receipt.reason ?? null,
    signed_by: keyFingerprint(key),
    pinned,
    instances: receipt.instances,
    custody: custodyJson(custody),
  };
}

export function receiptLine({ receipt, key, pinned }: CheckedReceipt): string {
  const what =
    receipt.outcome === 'stored'
      ? `stored, ${receipt.instances.length} instances`
      : `refused: ${plainText(receipt.reason?.code ?? 'no reason given')}`;
  const by = `signed by ${shortFingerprint(keyFingerprint(key))}${pinned ? '' : ' (not one of your keys)'}`;
  return `receipt    ${what}, ${receipt.issued_at}, ${by}`;
}
