/** A chain of custody for people, line by line, and for programs. */
import { plainText } from '../domain/plain-text.js';
import type { AuditParty } from '../jmix/audit-trail.js';
import type { Custody, CustodyStep } from '../jmix/custody.js';

/** Stable members, documented in README. */
export function custodyJson({ result, steps, brokenAt }: Custody) {
  return {
    result,
    broken_at_step: brokenAt === undefined ? null : brokenAt + 1,
    steps: steps.map(({ entry, signature, signedBy, signer, chained, standing }, index) => ({
      step: index + 1,
      event: entry.event,
      timestamp: entry.timestamp,
      by: partyJson(entry.by),
      to: entry.to === undefined ? null : partyJson(entry.to),
      signature,
      signed_by: signedBy ?? null,
      pinned: signer === 'pinned',
      chained,
      standing,
    })),
  };
}

export function custodyLines({ steps, brokenAt }: Custody): readonly string[] {
  return steps.map((step, index) => {
    const { entry } = step;
    const to = entry.to === undefined ? '' : ` to ${partyText(entry.to)}`;
    const what = `${plainText(entry.event)} by ${partyText(entry.by)}${to}`;
    const mark = index === brokenAt ? '  <- THE CHAIN BREAKS HERE' : '';
    return `  ${String(index + 1).padStart(2)}  ${plainText(entry.timestamp)}  ${what}\n      ${standingText(step)}${mark}`;
  });
}

function standingText({ signature, signedBy, signer, chained, standing }: CustodyStep): string {
  const key = signedBy === undefined ? '' : ` by ${shortFingerprint(signedBy)}`;
  switch (signature) {
    case 'absent':
      return 'not signed: a claim';
    case 'failed':
      return `its signature${key} does not fit what stands here, or what stands before it`;
    case 'partial':
      return standing === 'broken'
        ? `signed${key}, and something was put into it afterwards`
        : `signed${key}, but not all of it: a claim`;
    case 'ok': {
      const links = chained ? 'chained to all before it' : 'not chained: a claim';
      return `signed${key}, ${SIGNER_TEXT[signer ?? 'unknown']}; ${links}`;
    }
  }
}

const SIGNER_TEXT: Readonly<Record<NonNullable<CustodyStep['signer']>, string>> = {
  pinned: 'a key that you trust',
  unknown: 'a key that was not given: a claim',
  other: 'which is not a key of this party',
};

/** As much of it as two people compare at a glance; the whole stands in --json. */
export function shortFingerprint(fingerprint: string): string {
  return plainText(fingerprint, 23);
}

export function partyJson({ id, name }: AuditParty) {
  return { id, name: name ?? null };
}

export function partyText({ id, name }: AuditParty): string {
  return plainText(name === undefined || name === id ? id : `${name} (${id})`);
}
