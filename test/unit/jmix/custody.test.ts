import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import { signAssertion } from '../../../src/jmix/assertion.js';
import { type AuditEntry, formatAuditTrail, parseAuditTrail } from '../../../src/jmix/audit-trail.js';
import { beginsWith, judgeCustody, type KnownKey } from '../../../src/jmix/custody.js';
import { type CustodySubject, withSteps } from '../../../src/jmix/custody-step.js';
import { sha256Hex } from '../../../src/jmix/digest.js';
import { checkSchema } from '../../../src/jmix/published-schemas.js';
import { codeOf, ENVELOPE_ID, SENDER, SIGNER, STRANGER, sealInMemory } from './support/sealing.js';

const HUB = generateKeyPairSync('ed25519');
const TAKER = generateKeyPairSync('ed25519');
const SUBJECT: CustodySubject = { envelopeId: ENVELOPE_ID, manifestSha256: 'a'.repeat(64) };
const KNOWN: readonly KnownKey[] = [
  { key: SIGNER.publicKey, id: 'org:a' },
  { key: HUB.publicKey, id: 'hub' },
  { key: TAKER.publicKey, id: 'org:b' },
];
const at = (minute: number) => `2026-11-21T08:${minute}:00Z`;
const CREATED = { event: 'created', by: { id: 'org:a', name: 'Clínica A' }, timestamp: at(15) };
const FORWARDED = { event: 'forwarded', by: { id: 'hub' }, to: { id: 'org:b' }, timestamp: at(16) };
const RECEIVED = { event: 'received', by: { id: 'org:b' }, timestamp: at(17) };
const STORED = { event: 'stored', by: { id: 'org:b' }, timestamp: at(18) };

/** From the sender, by the hub, to the PACS. */
function wholeTrail(subject = SUBJECT): readonly AuditEntry[] {
  const sent = withSteps([], [CREATED], subject, SIGNER.privateKey);
  const passedOn = withSteps(sent, [FORWARDED], subject, HUB.privateKey);
  return withSteps(passedOn, [RECEIVED, STORED], subject, TAKER.privateKey);
}
const TRAIL = wholeTrail();

function entryAt(trail: readonly AuditEntry[], index: number): AuditEntry {
  const entry = trail[index];
  if (entry === undefined) throw new Error(`there is no entry ${index}`);
  return entry;
}

function withEntry(index: number, change: Partial<AuditEntry>): readonly AuditEntry[] {
  return TRAIL.map((entry, each) => (each === index ? { ...entry, ...change } : entry));
}

describe.each([0, 1, 2, 3])('the chain breaks at step %i when it', (index) => {
  const brokenAt = (trail: readonly AuditEntry[], subject = SUBJECT) =>
    judgeCustody(trail, subject, KNOWN).brokenAt;
  const entry = entryAt(TRAIL, index);

  it.each([
    ['tells of another event', { event: 'opened' }],
    ['is somebody else’s', { by: { id: 'org:c' } }],
    ['has another name', { by: { ...entry.by, name: 'Nobody' } }],
    ['is for somebody else', { to: { id: 'org:c' } }],
    ['has another time', { timestamp: at(59) }],
    ['says more than was signed', { more: { reason: 'none' } }],
  ])('%s', (_, change) => {
    expect(brokenAt(withEntry(index, change))).toBe(index);
  });

  it('is taken from another envelope, or lies under another manifest', () => {
    const other = { ...SUBJECT, envelopeId: parseEnvelopeId('00000000-0000-4000-8000-000000000000') };
    const { assertion } = entryAt(wholeTrail(other), index);
    expect(brokenAt(withEntry(index, assertion === undefined ? {} : { assertion }))).toBe(index);
    expect(brokenAt(TRAIL, { ...SUBJECT, manifestSha256: 'b'.repeat(64) })).toBe(0);
  });

  it('comes in front of the one before, or a second time', () => {
    const swapped = [
      ...TRAIL.slice(0, index),
      ...TRAIL.slice(index, index + 2).reverse(),
      ...TRAIL.slice(index + 2),
    ];
    if (index < 3) expect(brokenAt(swapped)).toBe(index);
    expect(brokenAt([...TRAIL.slice(0, index + 1), entry, ...TRAIL.slice(index + 1)])).toBe(index + 1);
  });

  it('was removed, at the one behind it', () => {
    const left = TRAIL.filter((_, each) => each !== index);
    expect(brokenAt(left)).toBe(index < 3 ? index : undefined);
  });

  it('is signed anew by a stranger, or by another party of the chain', () => {
    const { assertion: _, ...draft } = entry;
    for (const { privateKey } of [STRANGER, index === 1 ? SIGNER : HUB]) {
      const forged = withSteps(TRAIL.slice(0, index), [draft], SUBJECT, privateKey);
      const { steps, brokenAt: where } = judgeCustody(forged, SUBJECT, KNOWN);
      expect([where, steps[index]?.signature, steps[index]?.signer]).toEqual([index, 'ok', 'other']);
    }
  });

  it('has lost its signature: then the steps behind it tell', () => {
    const { assertion: _, ...bare } = entry;
    const trail = [...TRAIL.slice(0, index), bare, ...TRAIL.slice(index + 1)];
    const { result, steps } = judgeCustody(trail, SUBJECT, KNOWN);
    expect(result).toBe(index < 3 ? 'failed' : 'not_checked');
    expect(steps[index]).toMatchObject({ signature: 'absent', standing: 'claimed' });
  });
});

describe('the chain of custody', () => {
  it('is proven from the sender to the PACS when every key is known', () => {
    const { result, steps, brokenAt } = judgeCustody(TRAIL, SUBJECT, KNOWN);
    expect([result, brokenAt]).toEqual(['ok', undefined]);
    expect(steps.map(({ standing, chained, signer }) => [standing, chained, signer])).toEqual(
      TRAIL.map(() => ['proven', true, 'pinned']),
    );
  });

  it('by strangers is a claim and not a proof, but not broken either', () => {
    const { result, steps } = judgeCustody(TRAIL, SUBJECT, []);
    expect(result).toBe('not_checked');
    expect(steps.map(({ signer, standing }) => [signer, standing])).toEqual(
      TRAIL.map(() => ['unknown', 'claimed']),
    );
  });

  it('without a step is absent', () => {
    expect(judgeCustody([], SUBJECT, KNOWN).result).toBe('absent');
  });

  it('holds what others wrote unsigned in front of it', () => {
    const foreign = [1, 2, 3].map((minute) => ({ ...RECEIVED, timestamp: at(20 + minute) }));
    const trail = withSteps(foreign, [CREATED], SUBJECT, SIGNER.privateKey);
    expect(judgeCustody(trail, SUBJECT, KNOWN)).toMatchObject({ result: 'not_checked' });
    for (const index of foreign.keys()) {
      const left = trail.filter((_, each) => each !== index);
      expect(judgeCustody(left, SUBJECT, KNOWN).brokenAt).toBe(2);
    }
  });

  it('takes what is signed over its own entry alone for a claim', () => {
    const document = { ...STORED, id: ENVELOPE_ID };
    const sign = (paths: string[]) => ({
      ...STORED,
      assertion: signAssertion(document, paths, TAKER.privateKey),
    });
    const unchained = sign(['event', 'by.id', 'timestamp', 'manifest.id']);
    expect(judgeCustody([unchained], SUBJECT, KNOWN).steps).toMatchObject([
      { signature: 'ok', chained: false, standing: 'claimed' },
    ]);
    expect(judgeCustody([sign(['by.id'])], SUBJECT, KNOWN).steps).toMatchObject([
      { signature: 'partial', chained: false, standing: 'claimed' },
    ]);
  });

  it('stays valid by the published schema, and reads back as written', () => {
    const bytes = formatAuditTrail(TRAIL);
    expect(checkSchema('audit', JSON.parse(bytes.toString()))).toBeUndefined();
    expect(parseAuditTrail(bytes)).toEqual(TRAIL);
    expect(beginsWith(parseAuditTrail(bytes), TRAIL.slice(0, 2))).toBe(true);
    expect(beginsWith(TRAIL.slice(0, 1), TRAIL)).toBe(false);
  });

  it('begins where an envelope is sealed', async () => {
    const { sealed, source } = await sealInMemory();
    const subject = { envelopeId: ENVELOPE_ID, manifestSha256: sha256Hex(source.manifest) };
    const { result, steps } = judgeCustody(parseAuditTrail(sealed.audit), subject, KNOWN);
    expect([result, steps[0]?.entry.event, steps[0]?.entry.by]).toEqual([
      'ok',
      'created',
      { id: SENDER.id, name: SENDER.name },
    ]);
  });

  it.each([
    ['a step without a time', '{"audit":[{"event":"stored","by":{"id":"x"}}]}'],
    ['no steps', '{}'],
    ['a number without a canonical form', `{"audit":[${JSON.stringify(RECEIVED).slice(0, -1)},"n":1e999}]}`],
    ['a member twice', `{"audit":[${JSON.stringify(RECEIVED).slice(0, -1)},"event":"stored"}]}`],
  ])('with %s is ENVELOPE_MALFORMED', async (_, text) => {
    const parse = async () => judgeCustody(parseAuditTrail(Buffer.from(text)), SUBJECT, KNOWN);
    expect(await codeOf(parse())).toBe('ENVELOPE_MALFORMED');
  });
});
