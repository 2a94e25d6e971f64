/**
 * The chain of custody of one envelope: what each entry of its audit trail is worth. A step is proven when its signature
 * is by a key that the caller knows for that party, and binds the envelope and all that stands before it; it is a claim
 * when nobody known has signed it; it breaks the chain when its signature does not verify over what stands there, or is
 * by a key of somebody else. After a break, every chained step fails too: they all covered what was changed.
 */
import type { KeyObject } from 'node:crypto';
import { isGatewayError } from '../errors/gateway-error.js';
import type { AuditEntry } from './audit-trail.js';
import { type CustodySubject, FIRST_LINK, linkAfter, verifyStep } from './custody-step.js';
import { keyFingerprint, rawPublicKey } from './raw-keys.js';
import { isJsonObject, type JsonObject } from './strict-json.js';

/** A key that the caller trusts. */
export interface KnownKey {
  readonly key: KeyObject;
  /** Whose it is; absent when the caller vouches for it without saying for whom. */
  readonly id?: string;
}

export interface CustodyStep {
  readonly entry: AuditEntry;
  /** `partial`: it verifies, but leaves event, parties, time or envelope open. */
  readonly signature: 'ok' | 'partial' | 'absent' | 'failed';
  /** Fingerprint of the key that it names; whether it really signed, `signature` says. */
  readonly signedBy?: string;
  /** `other`: a key of somebody else, or not one of those known for this party. */
  readonly signer?: 'pinned' | 'unknown' | 'other';
  /** The signature binds the manifest and every entry before this one. */
  readonly chained: boolean;
  readonly standing: 'proven' | 'claimed' | 'broken';
}

export interface Custody {
  /** `not_checked`: nothing is broken, but at least one step is only claimed. */
  readonly result: 'ok' | 'failed' | 'absent' | 'not_checked';
  readonly steps: readonly CustodyStep[];
  /** Index of the step at which the chain breaks. */
  readonly brokenAt?: number;
}

/** Never throws for what an entry holds. */
export function judgeCustody(
  trail: readonly AuditEntry[],
  subject: CustodySubject,
  known: readonly KnownKey[],
): Custody {
  let link = FIRST_LINK;
  const steps = trail.map((entry) => {
    const step = judgeStep(entry, subject, link, known);
    link = linkAfter(link, entry);
    return step;
  });
  const brokenAt = steps.findIndex(({ standing }) => standing === 'broken');
  if (brokenAt >= 0) return { result: 'failed', steps, brokenAt };
  if (steps.length === 0) return { result: 'absent', steps };
  return { result: steps.every(({ standing }) => standing === 'proven') ? 'ok' : 'not_checked', steps };
}

/** Whether `trail` begins with exactly the entries of `start`, assertions included. */
export function beginsWith(trail: readonly AuditEntry[], start: readonly AuditEntry[]): boolean {
  if (trail.length < start.length) return false;
  return linkOf(trail.slice(0, start.length)) === linkOf(start);
}

function linkOf(trail: readonly AuditEntry[]): string {
  return trail.reduce(linkAfter, FIRST_LINK);
}

function judgeStep(
  entry: AuditEntry,
  subject: CustodySubject,
  link: string,
  known: readonly KnownKey[],
): CustodyStep {
  const { assertion } = entry;
  if (assertion === undefined) return { entry, signature: 'absent', chained: false, standing: 'claimed' };
  try {
    const { key, binding, chained } = verifyStep(entry, assertion, subject, link);
    const signer = signerOf(entry.by.id, key, known);
    return {
      entry,
      signature: binding ? 'ok' : 'partial',
      signedBy: keyFingerprint(key),
      signer,
      chained,
      standing: standingOf(binding, chained, signer),
    };
  } catch (error) {
    if (!isGatewayError(error)) throw error;
    return { entry, signature: 'failed', ...named(assertion), chained: false, standing: 'broken' };
  }
}

function standingOf(
  binding: boolean,
  chained: boolean,
  signer: CustodyStep['signer'],
): CustodyStep['standing'] {
  // Who chains a step signs all that stands in it: what is left open was put in later.
  if (signer === 'other' || (chained && !binding)) return 'broken';
  return chained && signer === 'pinned' ? 'proven' : 'claimed';
}

function signerOf(
  partyId: string,
  key: KeyObject,
  known: readonly KnownKey[],
): NonNullable<CustodyStep['signer']> {
  const raw = rawPublicKey(key);
  const owners = known.filter((each) => rawPublicKey(each.key).equals(raw));
  if (owners.some(({ id }) => id === undefined || id === partyId)) return 'pinned';
  // Known for somebody else; or unknown, where it is known with which keys this party signs.
  return owners.length > 0 || known.some(({ id }) => id === partyId) ? 'other' : 'unknown';
}

/** The fingerprint that an assertion bears, unverified. */
function named(assertion: JsonObject): { signedBy?: string } {
  const key = assertion['signing_key'];
  const fingerprint = isJsonObject(key) ? key['fingerprint'] : undefined;
  return typeof fingerprint === 'string' ? { signedBy: fingerprint } : {};
}
