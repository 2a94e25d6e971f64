/**
 * The closed list of error codes: what each means, of which kind it is, and what the operator should do.
 *
 * Every mapping table (DIMSE status, HTTP status) is typed `Record<ErrorCode, …>`, so a code that is added here
 * without a mapping does not compile. The table in README is compared with this one by a test.
 */
import type { ErrorKind } from './kinds.js';

interface CodeRow {
  readonly kind: ErrorKind;
  /** What happened, as an operator would say it. */
  readonly meaning: string;
  /** What to do about it; empty where the bridge recovers by itself. */
  readonly advice: string;
}

const row = (kind: ErrorKind, meaning: string, advice: string): CodeRow => ({ kind, meaning, advice });

export const CODES = {
  // ── association and C-STORE, on the way in ──
  CALLING_AE_UNKNOWN: row(
    'permanent',
    'the calling AE title, or the host it calls from, is not on the allow-list',
    'add the modality to dimse.callers, or correct its AE title',
  ),
  CALLING_AE_UNPROVED: row(
    'permanent',
    'the calling AE title is tied to certificates by dimse.callers, and the caller showed none of them, or calls from another host',
    'if the device was moved, or its certificate replaced, correct hosts or certificates of its entry; if not, somebody else uses its AE title',
  ),
  CALLED_AE_UNKNOWN: row(
    'permanent',
    'the modality calls an AE title that this bridge does not have',
    'correct the called AE title at the modality, or add it to dimse.aeTitles',
  ),
  ASSOCIATION_LIMIT: row(
    'transient',
    'too many associations are open',
    'raise dimse.maxAssociations if this is normal traffic',
  ),
  RATE_LIMIT: row(
    'transient',
    'one host opens more associations in a minute than it may',
    'raise dimse.associationsPerMinutePerCaller if this is normal traffic',
  ),
  CALLER_UNTRUSTED: row(
    'permanent',
    'who calls the DICOM port with TLS shows no certificate, or one that is not trusted',
    'put its CA into dimse.tls.caFile, or its fingerprint into dimse.tls.certificateFingerprints',
  ),
  USER_UNKNOWN: row(
    'permanent',
    'the modality gives no user name, or one that is not on the list, or a wrong password',
    'correct the user name and password at the modality, or add it to dimse.users',
  ),
  SHUTTING_DOWN: row('transient', 'the bridge is stopping', ''),
  SPOOL_ABOVE_WATERMARK: row(
    'transient',
    'the disk is nearly full; nothing new is taken',
    'free space on the data disk; intake resumes by itself',
  ),
  CONTEXT_UNSUPPORTED: row(
    'permanent',
    'no presentation context could be accepted',
    'the receiver must take the SOP class and transfer syntax that the message names; here, private ones: dimse.privateSopClasses',
  ),
  PDU_TOO_LARGE: row(
    'permanent',
    'the peer announced a PDU above the negotiated maximum, or spoke no DICOM',
    'check what connects to the DICOM port',
  ),
  SPOOL_WRITE_FAILED: row(
    'transient',
    'the disk refused a write',
    'check the data disk: space, quota, hardware',
  ),
  INSTANCE_TOO_LARGE: row(
    'permanent',
    'one instance is larger than the limit',
    'raise dimse.maxInstanceBytes if it is legitimate',
  ),
  STUDY_TOO_LARGE: row(
    'permanent',
    'the study has more instances or bytes than the limit',
    'raise dimse.maxStudyBytes or dimse.maxStudyInstances if it is legitimate',
  ),
  DATASET_UNREADABLE: row(
    'permanent',
    'the data set cannot be read up to its Study and Series Instance UID',
    'the modality sends a broken data set; keep the log line for its vendor',
  ),
  SOP_MISMATCH: row(
    'permanent',
    'the C-STORE command names another SOP class or instance than the data set',
    'the modality sends a wrong command; keep the log line for its vendor',
  ),
  SOP_CLASS_REFUSED: row(
    'permanent',
    'the SOP class is not a storage class that this bridge accepts',
    'for a private SOP class, add it to dimse.privateSopClasses',
  ),
  INSTANCE_CONFLICT: row(
    'permanent',
    'the same SOP Instance UID came again with other bytes; the newcomer is kept aside',
    'compare both versions; the first one is the one that travels',
  ),
  NOT_AUTHORISED: row(
    'permanent',
    'the caller is not allowed to do this',
    'log in, or use a certificate or token that is allowed',
  ),
  MEDIA_TYPE_UNSUPPORTED: row(
    'permanent',
    'the media type of the body is not one of those accepted',
    'send application/x-tar, application/gzip, application/zip or application/pgp-encrypted',
  ),
  NOT_ACCEPTABLE: row(
    'permanent',
    'none of the media types asked for can be given',
    'ask for one that the service offers',
  ),
  REQUEST_INVALID: row(
    'permanent',
    'the request is not well-formed',
    'correct the request as the message says',
  ),
  // ── envelopes ──
  ENVELOPE_MALFORMED: row(
    'permanent',
    'the envelope lacks a part, or a part cannot be read',
    'the sender must make the envelope again',
  ),
  MANIFEST_INVALID: row(
    'permanent',
    'manifest.json is not valid against the JMIX schema',
    'the sender must correct its manifest',
  ),
  METADATA_INVALID: row(
    'permanent',
    'a document of the payload is missing or not valid against its JMIX schema',
    'the sender must correct its payload',
  ),
  ARCHIVE_UNSAFE: row(
    'permanent',
    'the archive holds an entry that must never be extracted, or a file that may be a program',
    'treat the sender with suspicion; ask them how this envelope was made; for harmless preambles see trust.preamble',
  ),
  ENVELOPE_TOO_LARGE: row(
    'permanent',
    'the envelope is larger than the limit',
    'raise https.maxEnvelopeBytes if it is legitimate',
  ),
  ENVELOPE_EXISTS: row(
    'permanent',
    'another envelope was received before under the same id',
    'the sender must give a new id to a new envelope',
  ),
  ENVELOPE_NOT_FOUND: row('permanent', 'there is no envelope with this id', ''),
  STUDY_NOT_FOUND: row('permanent', 'there is no such study', ''),
  ENCRYPTION_PARAMETERS_INVALID: row(
    'permanent',
    'algorithm, base64, or the length of key, IV or tag is wrong, or the key is a low-order point',
    'the sender must make the envelope again; nothing was decrypted',
  ),
  ASSERTION_INVALID: row(
    'permanent',
    'a signature of the envelope does not verify',
    'the envelope was changed after signing, or signed wrongly; ask the sender by another channel',
  ),
  ASSERTION_EXPIRED: row(
    'permanent',
    'the sender assertion has expired',
    'the sender must seal the study again; check both clocks',
  ),
  ENVELOPE_TOO_OLD: row(
    'permanent',
    'the envelope is older than the limit',
    'check the clocks of both sites; if it was long on its way, raise trust.maxAgeDays and retry, or have it sealed again',
  ),
  ENVELOPE_FROM_FUTURE: row(
    'permanent',
    'the envelope is dated ahead of our clock by more than the limit',
    'check the clocks of both sites, and their time zones, then retry; raise trust.maxFutureMinutes for a sender that cannot mend it',
  ),
  SIGNER_NOT_PINNED: row(
    'permanent',
    'the envelope is signed by a key that is not pinned for this sender, or is not signed',
    'ask the sender by telephone whether they changed their keys, and compare the fingerprint; then `drawbridge peers accept`, or pair again; for a peer of the config, correct its keys there',
  ),
  RECIPIENT_MISMATCH: row(
    'permanent',
    'the envelope is addressed to another site',
    'the sender must correct the receiver id, or site.id here is wrong',
  ),
  PAYLOAD_HASH_MISMATCH: row(
    'permanent',
    'the payload is not the one that the manifest names',
    'the sender must ship the envelope again',
  ),
  PAYLOAD_DECRYPT_FAILED: row(
    'permanent',
    'the payload cannot be decrypted: it is sealed to another key, or was changed',
    'check that the sender has the current public key of this site',
  ),
  PAYLOAD_INCONSISTENT: row(
    'permanent',
    'files.json, metadata.json and the instances contradict each other',
    'the sender must pack the study again',
  ),
  SPOOL_CORRUPT: row(
    'permanent',
    'a stored instance no longer has the bytes that were acknowledged',
    'check the data disk; ask the modality to send the study again',
  ),
  // ── shipping, delivering, receipts ──
  PEER_UNREACHABLE: row(
    'transient',
    'the peer cannot be reached',
    'check the network, and the peer’s url, port and firewall',
  ),
  PEER_BUSY: row(
    'transient',
    'the peer asks to come back later',
    'nothing, unless it lasts: then ask the people who run it; its disk may be full, or it has too many clients',
  ),
  OUTSIDE_WINDOW: row(
    'transient',
    'the peer takes envelopes only in the time windows of its config',
    'nothing: it goes out when the window opens; for one that cannot wait, widen peers[].windows and restart',
  ),
  QUOTA_EXCEEDED: row(
    'transient',
    'the inbox or the server that the envelope goes to is full',
    'it is tried again; ask the people who run the server for space, or the receiver to empty its inbox',
  ),
  ENVELOPE_INCOMPLETE: row(
    'transient',
    'an envelope that was fetched is shorter than announced, or still being written',
    '',
  ),
  ENVELOPE_CLAIMED: row(
    'transient',
    'another bridge of this site is taking the envelope',
    'nothing, if two bridges empty one inbox; else find out who else uses the same login',
  ),
  PEER_REFUSED: row(
    'permanent',
    'the peer refuses the envelope',
    'read the peer’s reason; correct it there or here, then retry',
  ),
  PEER_UNTRUSTED: row(
    'permanent',
    'the peer’s certificate is not the pinned one, and no configured CA vouches for it',
    'compare the fingerprint with the peer by telephone before changing the pin',
  ),
  SHIP_UNCONFIRMED: row(
    'ambiguous',
    'the connection broke after the last byte: the peer may have the envelope',
    '',
  ),
  PACS_UNREACHABLE: row(
    'transient',
    'the PACS cannot be reached',
    'check the PACS and its host and port in the config',
  ),
  PACS_BUSY: row('transient', 'the PACS is out of resources for now', ''),
  PACS_PAUSED: row(
    'transient',
    'sending to the PACS is paused',
    'remove paused from the PACS in the config when it may go on',
  ),
  PACS_UNTRUSTED: row(
    'permanent',
    'the certificate of the PACS is not one that is trusted, or it takes none of our TLS suites',
    'compare its certificate with dimse.tls.caFile or dimse.tls.certificateFingerprints',
  ),
  TRANSCODE_FAILED: row(
    'permanent',
    'the PACS does not take the transfer syntax, and the instance cannot be converted without loss',
    'let the PACS accept the transfer syntax that the message names',
  ),
  COMMITMENT_PENDING: row(
    'transient',
    'the PACS has not yet reported what it commits to',
    'check that the PACS knows our AE title, host and port for its reports, then retry',
  ),
  COMMITMENT_FAILED: row(
    'permanent',
    'the PACS answered a C-STORE with success, but does not commit to the instance',
    'look into the log of the PACS; retry sends again what it does not have, and asks anew',
  ),
  PACS_REFUSED: row(
    'permanent',
    'the PACS refuses the association or the instance',
    'the message says the status, and for what; without one, the AE title is not registered at the PACS',
  ),
  STORE_UNANSWERED: row('ambiguous', 'the PACS did not answer a C-STORE', ''),
  RECEIPT_INVALID: row(
    'permanent',
    'the receipt is not signed by the peer’s pinned key, or does not match what was sent',
    'ask the peer by another channel what they received',
  ),
  ROUTE_MISSING: row(
    'permanent',
    'no route of the config fits this study',
    'add a route, then retry the study',
  ),
  // ── the bridge itself ──
  STATE_INVALID: row('permanent', 'this cannot be done in the present state', ''),
  REDIS_UNAVAILABLE: row(
    'transient',
    'Redis cannot be reached',
    'check redis.url, or the private Redis in the data folder',
  ),
  KEY_UNREADABLE: row(
    'permanent',
    'a key file is missing, has the wrong length, or can be read by others',
    'restore the key file, mode 0600',
  ),
  KEY_LOCKED: row(
    'permanent',
    'a private key is encrypted, and the passphrase is missing or wrong',
    'set keys.passphraseFile to the file that holds the passphrase',
  ),
  KEY_REVOKED: row(
    'permanent',
    'the key has been revoked',
    'have the envelope made again with the present key; if it is a partner’s, pair again',
  ),
  PAIRING_FAILED: row(
    'permanent',
    'the two sites could not be paired',
    'start `drawbridge pair` on both sides again; if the words differed, somebody may stand between them',
  ),
  DIRECTORY_INVALID: row(
    'permanent',
    'an entry of the directory, or a published key set, is malformed or not attested by a configured key',
    'compare directory.keys with the people who run the directory; envelopes go on with what is pinned',
  ),
  OPENPGP_UNAVAILABLE: row(
    'permanent',
    'GnuPG cannot be run, or has no key of ours',
    'install gnupg, or correct openpgp.command; make the key with `drawbridge keys openpgp`',
  ),
  CUSTODY_BROKEN: row(
    'permanent',
    'the chain of custody has a step that was changed, left out, or is not by a known key',
    'ask both sites for their own records of this envelope',
  ),
  CONFIG_INVALID: row('permanent', 'the configuration has errors', 'correct every line listed'),
  CANCELLED: row('transient', 'the step was stopped before it was done', ''),
  FAULT: row(
    'fault',
    'an error of the bridge itself',
    'send the log line with its correlation id to the maintainers',
  ),
} as const satisfies Record<string, CodeRow>;

export type ErrorCode = keyof typeof CODES;

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(CODES, text);
}
