/**
 * C-STORE status codes (PS3.4 Table B.2-1, PS3.7 Annex C), both ways: which one we answer for each error of ours, and
 * what one means that a PACS answers to us. The per-instance reasons of STOW-RS are the same numbers.
 */
import type { ErrorCode } from '../errors/codes.js';

export const SUCCESS = 0x0000;
/** PS3.7 §C.5.11: for what no other status fits. */
const PROCESSING_FAILURE = 0x0110;
/** PS3.7 §C.5.5: the SCP has an instance of this UID. */
export const DUPLICATE_SOP_INSTANCE = 0x0111;
/** PS3.4 B.2.3: Refused: Out of Resources. The one failure after which senders are expected to try again. */
const OUT_OF_RESOURCES = 0xa700;

/** Errors that cannot occur while an instance is being stored answer Processing Failure, should they ever. */
const STATUSES: Readonly<Record<ErrorCode, number>> = {
  SHUTTING_DOWN: OUT_OF_RESOURCES,
  SPOOL_ABOVE_WATERMARK: OUT_OF_RESOURCES,
  SPOOL_WRITE_FAILED: OUT_OF_RESOURCES,
  INSTANCE_TOO_LARGE: OUT_OF_RESOURCES,
  STUDY_TOO_LARGE: OUT_OF_RESOURCES,
  CANCELLED: OUT_OF_RESOURCES,
  DATASET_UNREADABLE: 0xc000,
  SOP_MISMATCH: 0xa900,
  SOP_CLASS_REFUSED: 0x0122,
  INSTANCE_CONFLICT: DUPLICATE_SOP_INSTANCE,
  NOT_AUTHORISED: 0x0124,
  FAULT: PROCESSING_FAILURE,

  CALLING_AE_UNKNOWN: PROCESSING_FAILURE,
  CALLING_AE_UNPROVED: PROCESSING_FAILURE,
  CALLED_AE_UNKNOWN: PROCESSING_FAILURE,
  ASSOCIATION_LIMIT: PROCESSING_FAILURE,
  RATE_LIMIT: PROCESSING_FAILURE,
  CALLER_UNTRUSTED: PROCESSING_FAILURE,
  USER_UNKNOWN: PROCESSING_FAILURE,
  CONTEXT_UNSUPPORTED: PROCESSING_FAILURE,
  PDU_TOO_LARGE: PROCESSING_FAILURE,
  MEDIA_TYPE_UNSUPPORTED: PROCESSING_FAILURE,
  NOT_ACCEPTABLE: PROCESSING_FAILURE,
  REQUEST_INVALID: PROCESSING_FAILURE,
  ENVELOPE_MALFORMED: PROCESSING_FAILURE,
  MANIFEST_INVALID: PROCESSING_FAILURE,
  METADATA_INVALID: PROCESSING_FAILURE,
  ARCHIVE_UNSAFE: PROCESSING_FAILURE,
  ENVELOPE_TOO_LARGE: PROCESSING_FAILURE,
  ENVELOPE_EXISTS: PROCESSING_FAILURE,
  ENVELOPE_NOT_FOUND: PROCESSING_FAILURE,
  STUDY_NOT_FOUND: PROCESSING_FAILURE,
  ENCRYPTION_PARAMETERS_INVALID: PROCESSING_FAILURE,
  ASSERTION_INVALID: PROCESSING_FAILURE,
  ASSERTION_EXPIRED: PROCESSING_FAILURE,
  ENVELOPE_TOO_OLD: PROCESSING_FAILURE,
  ENVELOPE_FROM_FUTURE: PROCESSING_FAILURE,
  SIGNER_NOT_PINNED: PROCESSING_FAILURE,
  RECIPIENT_MISMATCH: PROCESSING_FAILURE,
  PAYLOAD_HASH_MISMATCH: PROCESSING_FAILURE,
  PAYLOAD_DECRYPT_FAILED: PROCESSING_FAILURE,
  PAYLOAD_INCONSISTENT: PROCESSING_FAILURE,
  SPOOL_CORRUPT: PROCESSING_FAILURE,
  PEER_UNREACHABLE: PROCESSING_FAILURE,
  PEER_BUSY: PROCESSING_FAILURE,
  OUTSIDE_WINDOW: PROCESSING_FAILURE,
  QUOTA_EXCEEDED: PROCESSING_FAILURE,
  ENVELOPE_INCOMPLETE: PROCESSING_FAILURE,
  ENVELOPE_CLAIMED: PROCESSING_FAILURE,
  PEER_REFUSED: PROCESSING_FAILURE,
  PEER_UNTRUSTED: PROCESSING_FAILURE,
  SHIP_UNCONFIRMED: PROCESSING_FAILURE,
  PACS_UNREACHABLE: PROCESSING_FAILURE,
  PACS_BUSY: PROCESSING_FAILURE,
  PACS_PAUSED: PROCESSING_FAILURE,
  PACS_UNTRUSTED: PROCESSING_FAILURE,
  TRANSCODE_FAILED: PROCESSING_FAILURE,
  COMMITMENT_PENDING: PROCESSING_FAILURE,
  COMMITMENT_FAILED: PROCESSING_FAILURE,
  PACS_REFUSED: PROCESSING_FAILURE,
  STORE_UNANSWERED: PROCESSING_FAILURE,
  RECEIPT_INVALID: PROCESSING_FAILURE,
  ROUTE_MISSING: PROCESSING_FAILURE,
  STATE_INVALID: PROCESSING_FAILURE,
  REDIS_UNAVAILABLE: PROCESSING_FAILURE,
  KEY_UNREADABLE: PROCESSING_FAILURE,
  KEY_LOCKED: PROCESSING_FAILURE,
  KEY_REVOKED: PROCESSING_FAILURE,
  PAIRING_FAILED: PROCESSING_FAILURE,
  DIRECTORY_INVALID: PROCESSING_FAILURE,
  OPENPGP_UNAVAILABLE: PROCESSING_FAILURE,
  CUSTODY_BROKEN: PROCESSING_FAILURE,
  CONFIG_INVALID: PROCESSING_FAILURE,
};

/** The status that answers a C-STORE which failed with this code; never 0x0000. */
export function storeStatus(code: ErrorCode): number {
  return STATUSES[code];
}

export type StatusCategory = 'success' | 'warning' | 'failure' | 'cancel' | 'pending' | 'unknown';

export interface StatusDescription {
  readonly category: StatusCategory;
  readonly name: string;
}

const describe = (category: StatusCategory, name: string): StatusDescription => ({ category, name });

/** Single values: PS3.4 B.2.3 for storage, PS3.7 Annex C for every service. */
const SINGLE: ReadonlyMap<number, StatusDescription> = new Map([
  [SUCCESS, describe('success', 'Success')],
  [0x0001, describe('warning', 'Requested Optional Attributes Are Not Supported')],
  [0x0105, describe('failure', 'No Such Attribute')],
  [0x0106, describe('failure', 'Invalid Attribute Value')],
  [0x0107, describe('warning', 'Attribute List Error')],
  [PROCESSING_FAILURE, describe('failure', 'Processing Failure')],
  [DUPLICATE_SOP_INSTANCE, describe('failure', 'Duplicate SOP Instance')],
  [0x0112, describe('failure', 'No Such SOP Instance')],
  [0x0113, describe('failure', 'No Such Event Type')],
  [0x0114, describe('failure', 'No Such Argument')],
  [0x0115, describe('failure', 'Invalid Argument Value')],
  [0x0116, describe('warning', 'Attribute Value Out of Range')],
  [0x0117, describe('failure', 'Invalid SOP Instance')],
  [0x0118, describe('failure', 'No Such SOP Class')],
  [0x0119, describe('failure', 'Class-Instance Conflict')],
  [0x0120, describe('failure', 'Missing Attribute')],
  [0x0121, describe('failure', 'Missing Attribute Value')],
  [0x0122, describe('failure', 'Refused: SOP Class Not Supported')],
  [0x0123, describe('failure', 'No Such Action')],
  [0x0124, describe('failure', 'Refused: Not Authorized')],
  [0x0210, describe('failure', 'Duplicate Invocation')],
  [0x0211, describe('failure', 'Unrecognized Operation')],
  [0x0212, describe('failure', 'Mistyped Argument')],
  [0x0213, describe('failure', 'Resource Limitation')],
  [0xb000, describe('warning', 'Coercion of Data Elements')],
  [0xb006, describe('warning', 'Elements Discarded')],
  [0xb007, describe('warning', 'Data Set Does Not Match SOP Class')],
  [0xfe00, describe('cancel', 'Cancel')],
  [0xff00, describe('pending', 'Pending')],
  [0xff01, describe('pending', 'Pending')],
]);

/** The rest, by the bits that count: mask, value, meaning. The first that fits. */
const RANGES: readonly (readonly [mask: number, value: number, StatusDescription])[] = [
  [0xff00, OUT_OF_RESOURCES, describe('failure', 'Refused: Out of Resources')],
  [0xff00, 0xa900, describe('failure', 'Error: Data Set Does Not Match SOP Class')],
  [0xf000, 0xc000, describe('failure', 'Error: Cannot Understand')],
  [0xf000, 0xb000, describe('warning', 'Warning')],
  [0xf000, 0xa000, describe('failure', 'Failure')],
  [0xff00, 0x0100, describe('failure', 'Failure')],
  [0xff00, 0x0200, describe('failure', 'Failure')],
];

/** What a status means. A number that neither standard nor range knows is `unknown`. Cannot fail. */
export function describeStatus(status: number): StatusDescription {
  return (
    SINGLE.get(status) ??
    RANGES.find(([mask, value]) => (status & mask) === value)?.[2] ??
    describe('unknown', 'Unknown Status')
  );
}

/** `0xA700`, as the standard writes statuses. */
export function formatStatus(status: number): string {
  return `0x${status.toString(16).toUpperCase().padStart(4, '0')}`;
}
