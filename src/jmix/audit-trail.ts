/**
 * audit.json (JMIX audit) as a document, both directions: who did what to the envelope, append-only. Nothing of the
 * envelope covers it, neither hash nor JWS, so an entry is a claim, unless it is signed and chained by itself: that is
 * custody-step.ts, and judged in custody.ts.
 */
import { GatewayError } from '../errors/gateway-error.js';
import { CANON } from './dialect.js';
import { readBySchema } from './published-schemas.js';
import { isJsonObject, type JsonObject, type JsonValue, parseStrictObject } from './strict-json.js';

export const AUDIT_MAX_BYTES = 1024 * 1024;

export interface AuditParty {
  readonly id: string;
  readonly name?: string;
  /** Members that the schema does not know. */
  readonly more?: JsonObject;
}

export interface AuditEntry {
  /** `created`, `sent`, `forwarded`, `received`, `stored`, or what a foreign writer calls it. */
  readonly event: string;
  readonly by: AuditParty;
  readonly to?: AuditParty;
  /** UTC, RFC 3339. */
  readonly timestamp: string;
  /** As it stands in JSON; made by `withSteps`. */
  readonly assertion?: JsonObject;
  /** Members that the schema does not know. */
  readonly more?: JsonObject;
}

/**
 * The bytes of audit.json; what others put into their entries beyond the schema stays in them.
 * @throws FAULT when an entry does not conform to the published schema
 */
export function formatAuditTrail(entries: readonly AuditEntry[]): Buffer {
  const document = { audit: entries.map(formatAuditEntry) };
  readBySchema('audit', document, 'FAULT');
  return Buffer.from(JSON.stringify(document, null, CANON.manifestIndent));
}

/**
 * @throws ENVELOPE_MALFORMED when it is not strict JSON, too large, or does not conform to the published schema; members
 *   that the schema does not know are kept
 */
export function parseAuditTrail(bytes: Buffer): readonly AuditEntry[] {
  if (bytes.length > AUDIT_MAX_BYTES) {
    throw new GatewayError(
      'ENVELOPE_MALFORMED',
      `audit.json is ${bytes.length} bytes, at most ${AUDIT_MAX_BYTES} are read`,
    );
  }
  const document = parseStrictObject(bytes, 'audit.json', 'ENVELOPE_MALFORMED');
  readBySchema('audit', document, 'ENVELOPE_MALFORMED');
  return Array.isArray(document['audit']) ? document['audit'].map(parseEntry) : [];
}

/** The entry as it stands in JSON. */
export function formatAuditEntry({ event, by, to, timestamp, assertion, more }: AuditEntry): JsonObject {
  return {
    event,
    by: formatParty(by),
    ...(to === undefined ? {} : { to: formatParty(to) }),
    timestamp,
    ...(assertion === undefined ? {} : { assertion }),
    ...more,
  };
}

function formatParty({ id, name, more }: AuditParty): JsonObject {
  return { id, ...(name === undefined ? {} : { name }), ...more };
}

/** @param value conforms to the schema */
function parseEntry(value: JsonValue): AuditEntry {
  const { event, by, to, timestamp, assertion, ...more } = asObject(value);
  return {
    event: String(event),
    by: parseParty(by),
    ...(to === undefined ? {} : { to: parseParty(to) }),
    timestamp: String(timestamp),
    ...(isJsonObject(assertion) ? { assertion } : {}),
    ...moreOf(more),
  };
}

function parseParty(value: JsonValue | undefined): AuditParty {
  const { id, name, ...more } = asObject(value);
  return { id: String(id), ...(typeof name === 'string' ? { name } : {}), ...moreOf(more) };
}

function moreOf(more: JsonObject): { more?: JsonObject } {
  return Object.keys(more).length === 0 ? {} : { more };
}

function asObject(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}
