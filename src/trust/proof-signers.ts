/** Whose keys signed the documents of a proof: the keys that the documents name themselves, and those that a site knows. */
import type { KeyObject } from 'node:crypto';
import { isGatewayError } from '../errors/gateway-error.js';
import { type AuditEntry, parseAuditTrail } from '../jmix/audit-trail.js';
import { keyNamedIn } from '../jmix/custody-step.js';
import { parseCompactJws, verifyCompactJws } from '../jmix/manifest-jws.js';
import { rawPublicKey } from '../jmix/raw-keys.js';
import { parseStrictObject } from '../jmix/strict-json.js';
import { PROOF_FILES, type ProofFiles, type ProofKey } from './proof.js';

/** A signing key as a site knows it. */
export interface KeyOrigin {
  readonly key: KeyObject;
  readonly id: string;
  readonly source: string;
}

const JWS_FILES = [PROOF_FILES.jws, PROOF_FILES.receipt, PROOF_FILES.refusal];

/** The keys that signed anything in `documents`, in the order in which they appear; documents that are broken name none. */
export function signersOf(documents: ProofFiles, origins: readonly KeyOrigin[]): readonly ProofKey[] {
  const found = new Map<string, { key: KeyObject; signed: string[] }>();
  const note = (key: KeyObject, what: string) => {
    const raw = rawPublicKey(key).toString('base64');
    const known = found.get(raw) ?? { key, signed: [] };
    if (!known.signed.includes(what)) known.signed.push(what);
    found.set(raw, known);
  };
  const trails = [PROOF_FILES.audit, PROOF_FILES.receipt, PROOF_FILES.refusal].map(
    (name) => [name, trailIn(name, documents.get(name))] as const,
  );
  const named = trails.flatMap(([, trail]) => trail.flatMap(keysOf));
  for (const name of JWS_FILES) {
    const jws = documents.get(name);
    const key = jws && signerOf(jws, [...named, ...origins.map(({ key: known }) => known)]);
    if (key !== undefined) note(key, name);
  }
  for (const [name, trail] of trails) {
    trail.forEach((entry, index) => {
      for (const key of keysOf(entry)) note(key, `step ${index + 1} in ${name}`);
    });
  }
  return [...found.values()].map(({ key, signed }) => ({ key, signed, ...originOf(key, origins) }));
}

function originOf(key: KeyObject, origins: readonly KeyOrigin[]): Pick<ProofKey, 'id' | 'source'> {
  const raw = rawPublicKey(key);
  const origin = origins.find((each) => rawPublicKey(each.key).equals(raw));
  return origin === undefined ? { source: 'unknown' } : { id: origin.id, source: origin.source };
}

function keysOf({ assertion }: AuditEntry): readonly KeyObject[] {
  const key = keyNamedIn(assertion);
  return key === undefined ? [] : [key];
}

/** The trail of audit.json, or the one that a receipt holds. */
function trailIn(name: string, bytes: Buffer | undefined): readonly AuditEntry[] {
  if (bytes === undefined) return [];
  return (
    orNothing(() => {
      if (name === PROOF_FILES.audit) return parseAuditTrail(bytes);
      const { audit = [] } = parseStrictObject(parseCompactJws(bytes).payload, name, 'RECEIPT_INVALID');
      return parseAuditTrail(Buffer.from(JSON.stringify({ audit })));
    }) ?? []
  );
}

function signerOf(jws: Buffer, candidates: readonly KeyObject[]): KeyObject | undefined {
  return orNothing(() => verifyCompactJws(jws, candidates).key);
}

function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isGatewayError(error)) return undefined;
    throw error;
  }
}
