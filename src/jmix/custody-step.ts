/**
 * The steps that we add to audit.json, signed and chained, so that none can be changed, left out, moved or put under
 * another envelope afterwards. The published schema leaves an entry no room for more members, so the signature names
 * values that stand elsewhere and every reader has: `manifest.id`, `manifest.sha256` (of the bytes of manifest.json, in
 * lower hex) and `previous.sha256`, the link to all that stands before:
 *
 *     link(0) = 64 zeros
 *     link(n) = SHA-256 of the text link(n-1), followed by the RFC 8785 form of entry n with its assertion; lower hex
 *
 * Entry n signs link(n-1). The link runs over every entry, so a signed step also fixes the unsigned ones in front of it.
 * Steps at the end can be cut off unseen: what fixes the end of a trail is the receipt that it stands in.
 */
import type { KeyObject } from 'node:crypto';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { signAssertion, verifyAssertion } from './assertion.js';
import { type AuditEntry, type AuditParty, formatAuditEntry } from './audit-trail.js';
import { parseBase64 } from './base64.js';
import { canonicalJson } from './canonical-json.js';
import { sha256Hex } from './digest.js';
import { ed25519PublicKey, RAW_KEY_BYTES } from './raw-keys.js';
import { isJsonObject, type JsonObject, type JsonValue } from './strict-json.js';

/** The envelope that a trail belongs to. */
export interface CustodySubject {
  readonly envelopeId: EnvelopeId;
  /** Of the bytes of manifest.json, lower hex. */
  readonly manifestSha256: string;
}

export type StepDraft = Omit<AuditEntry, 'assertion'>;

/** What a good signature says of its entry. */
export interface VerifiedStep {
  readonly key: KeyObject;
  /** It binds event, both parties, time and envelope, and nothing else stands there. */
  readonly binding: boolean;
  /** It binds every entry before this one, and the manifest. */
  readonly chained: boolean;
}

/** The link of a trail without entries. */
export const FIRST_LINK = '0'.repeat(64);

/** The link of a trail whose last entry is `entry`. @param link of the trail without it */
export function linkAfter(link: string, entry: AuditEntry): string {
  return sha256Hex(Buffer.from(link + canonicalJson(formatAuditEntry(entry))));
}

/** The trail with `steps` behind it, each signed and chained; what is there stays as it is. */
export function withSteps(
  trail: readonly AuditEntry[],
  steps: readonly StepDraft[],
  subject: CustodySubject,
  key: KeyObject,
): readonly AuditEntry[] {
  const entries = [...trail];
  let link = trail.reduce(linkAfter, FIRST_LINK);
  for (const step of steps) {
    const entry = signStep(step, subject, link, key);
    entries.push(entry);
    link = linkAfter(link, entry);
  }
  return entries;
}

/**
 * Verifies one entry by itself; whose key it is, the caller decides.
 * @param entry with an assertion
 * @param link of the trail in front of it
 * @throws ASSERTION_INVALID when the signature does not verify over what stands there
 */
export function verifyStep(
  entry: AuditEntry,
  assertion: JsonObject,
  subject: CustodySubject,
  link: string,
): VerifiedStep {
  // An audit assertion has no expiry (the schema has no place for it), so the present time does not matter.
  const { key, covered } = verifyAssertion(assertion, signedDocument(entry, subject, link), { nowMs: 0 });
  const binds = (path: string) => covered.has(rooted(path));
  return {
    key,
    binding: !hasMore(entry) && [...ownPaths(entry), 'manifest.id'].every(binds),
    chained: ['manifest.sha256', 'previous.sha256'].every(binds),
  };
}

/** The public key that an assertion names, whether or not it is good; undefined when it names none. */
export function keyNamedIn(assertion: JsonValue | undefined): KeyObject | undefined {
  const named = isJsonObject(assertion) ? assertion['signing_key'] : undefined;
  const raw = isJsonObject(named) ? parseBase64(String(named['public_key'])) : undefined;
  return raw?.length === RAW_KEY_BYTES ? ed25519PublicKey(raw) : undefined;
}

function signStep(step: StepDraft, subject: CustodySubject, link: string, key: KeyObject): AuditEntry {
  const paths = [...ownPaths(step), 'manifest.id', 'manifest.sha256', 'previous.sha256'];
  return { ...step, assertion: signAssertion(signedDocument(step, subject, link), paths, key) };
}

function ownPaths({ by, to }: StepDraft): string[] {
  return ['event', ...partyPaths('by', by), ...(to === undefined ? [] : partyPaths('to', to)), 'timestamp'];
}

function hasMore({ more, by, to }: AuditEntry): boolean {
  return [more, by.more, to?.more].some((members) => members !== undefined);
}

function partyPaths(member: string, { name }: AuditParty): string[] {
  return [`${member}.id`, ...(name === undefined ? [] : [`${member}.name`])];
}

/** Assertions look a path `manifest.x` up as `x`. */
function signedDocument(step: StepDraft, subject: CustodySubject, link: string): JsonObject {
  const { assertion: _, ...entry } = formatAuditEntry(step);
  return {
    ...entry,
    id: subject.envelopeId,
    sha256: subject.manifestSha256,
    previous: { sha256: link },
  };
}

function rooted(path: string): string {
  return path.replace(/^manifest\./, '');
}
