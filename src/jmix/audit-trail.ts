/**
 * audit.json (JMIX audit), both directions: who did what to the envelope, append-only. Nothing of the envelope covers
 * it, neither hash nor JWS, so what comes in it is a claim; an entry can be signed by itself. Such a signature's
 * paths start at the entry, and name the envelope as `manifest.id` when it is given.
 */
import type { KeyObject } from 'node:crypto';
import { formatTimestamp } from '../domain/clock.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { signAssertion, verifyAssertion } from './assertion.js';
import { CANON } from './dialect.js';
import { assertSchema } from './published-schemas.js';
import { rawPublicKey } from './raw-keys.js';
import { isJsonObject, type JsonObject, type JsonValue, parseStrictObject } from './strict-json.js';

export const AUDIT_MAX_BYTES = 1024 * 1024;

export interface AuditParty {
  readonly id: string;
  readonly name?: string;
}

export interface AuditEntry {
  /** `created`, `sent`, `forwarded`, `received`, `stored`, or what a foreign writer calls it. */
  readonly event: string;
  readonly by: AuditParty;
  readonly to?: AuditParty;
  /** UTC, RFC 3339. */
  readonly timestamp: string;
  /** As it stands in JSON; made by `signAuditEntry`. */
  readonly assertion?: JsonObject;
}

/** The first entry of every trail. */
export function createdEntry(by: AuditParty, createdAtMs: number): AuditEntry {
  return { event: CANON.firstAuditEvent, by: party(by), timestamp: formatTimestamp(createdAtMs) };
}

/**
 * The bytes of audit.json.
 * @throws FAULT when an entry does not conform to the published schema
 */
export function formatAuditTrail(entries: readonly AuditEntry[]): Buffer {
  const document = { audit: entries.map(formatAuditEntry) };
  assertSchema('audit', document, 'FAULT');
  return Buffer.from(JSON.stringify(document, null, CANON.manifestIndent));
}

/** @throws ENVELOPE_MALFORMED when it is not strict JSON, too large, or does not conform to the published schema */
export function parseAuditTrail(bytes: Buffer): readonly AuditEntry[] {
  if (bytes.length > AUDIT_MAX_BYTES) {
    throw new GatewayError(
      'ENVELOPE_MALFORMED',
      `audit.json is ${bytes.length} bytes, at most ${AUDIT_MAX_BYTES} are read`,
    );
  }
  const document = parseStrictObject(bytes, 'audit.json', 'ENVELOPE_MALFORMED');
  assertSchema('audit', document, 'ENVELOPE_MALFORMED');
  return Array.isArray(document['audit']) ? document['audit'].map(parseEntry) : [];
}

/** The trail with `entries` behind what it holds; what is there stays as it is. @throws ENVELOPE_MALFORMED */
export function appendToAuditTrail(bytes: Buffer, entries: readonly AuditEntry[]): Buffer {
  return formatAuditTrail([...parseAuditTrail(bytes), ...entries]);
}

/** The entry as it stands in JSON. */
export function formatAuditEntry(entry: AuditEntry): JsonObject {
  return {
    event: entry.event,
    by: formatParty(entry.by),
    ...(entry.to === undefined ? {} : { to: formatParty(entry.to) }),
    timestamp: entry.timestamp,
    ...(entry.assertion === undefined ? {} : { assertion: entry.assertion }),
  };
}

/** The entry, signed over event, parties and time, and over the envelope's id when it is given. */
export function signAuditEntry(entry: AuditEntry, key: KeyObject, envelopeId?: EnvelopeId): AuditEntry {
  const { assertion: _, ...unsigned } = entry;
  const paths = [
    'event',
    'by.id',
    ...(unsigned.to === undefined ? [] : ['to.id']),
    'timestamp',
    ...(envelopeId === undefined ? [] : ['manifest.id']),
  ];
  return { ...unsigned, assertion: signAssertion(signedDocument(unsigned, envelopeId), paths, key) };
}

/**
 * Verifies an entry that `signAuditEntry` signed, with the same `envelopeId`.
 * @throws ASSERTION_INVALID when it is unsigned, its signature is bad, or it leaves event, party or time unsigned;
 *   SIGNER_NOT_PINNED when the key is not among `keys`
 */
export function verifyAuditEntry(
  entry: AuditEntry,
  keys: readonly KeyObject[],
  envelopeId?: EnvelopeId,
): void {
  if (entry.assertion === undefined) throw new GatewayError('ASSERTION_INVALID', 'audit entry is not signed');
  const document = signedDocument(entry, envelopeId);
  // An audit assertion has no expiry (the schema has no place for it), so the present time does not matter.
  const { key, covered } = verifyAssertion(entry.assertion, document, { nowMs: 0 });
  const required = ['event', 'by.id', 'timestamp'];
  if (entry.to !== undefined) required.push('to.id');
  if (envelopeId !== undefined) required.push('id');
  if (!required.every((path) => covered.has(path))) {
    throw new GatewayError('ASSERTION_INVALID', 'audit entry leaves fields unsigned that must be signed');
  }
  if (!keys.some((pinned) => rawPublicKey(pinned).equals(rawPublicKey(key)))) {
    throw new GatewayError('SIGNER_NOT_PINNED', 'audit entry is signed by a key that is not pinned');
  }
}

function signedDocument(entry: AuditEntry, envelopeId: EnvelopeId | undefined): JsonObject {
  const { assertion: _, ...document } = formatAuditEntry(entry);
  // A path `manifest.id` is looked up as `id`.
  return envelopeId === undefined ? document : { ...document, id: envelopeId };
}

/** From a value that conforms to the schema. */
function parseEntry(value: JsonValue): AuditEntry {
  const entry = isJsonObject(value) ? value : {};
  const to = entry['to'];
  const assertion = entry['assertion'];
  return {
    event: String(entry['event']),
    by: parseParty(entry['by']),
    ...(to === undefined ? {} : { to: parseParty(to) }),
    timestamp: String(entry['timestamp']),
    ...(isJsonObject(assertion) ? { assertion } : {}),
  };
}

function parseParty(value: JsonValue | undefined): AuditParty {
  const found = isJsonObject(value) ? value : {};
  return party({
    id: String(found['id']),
    ...(typeof found['name'] === 'string' ? { name: found['name'] } : {}),
  });
}

/** Only id and name, whatever else the caller's object has. */
function party(from: AuditParty): AuditParty {
  return { id: from.id, ...(from.name === undefined ? {} : { name: from.name }) };
}

function formatParty(from: AuditParty): JsonObject {
  return { id: from.id, ...(from.name === undefined ? {} : { name: from.name }) };
}
