/** How old an envelope may be, to the millisecond, and whose word for its date counts. */
import { describe, expect, it } from 'vitest';
import { signAssertion } from '../../../src/jmix/assertion.js';
import { assertAge } from '../../../src/jmix/envelope-age.js';
import type { EnvelopeSource } from '../../../src/jmix/envelope-folder.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { CREATED_AT_MS, codeOf, openRequest, SIGNER, STRANGER, sealInMemory } from './support/sealing.js';
import { memoryStaging } from './support/staging.js';

const age = { maxAgeMs: 365 * 86_400_000, maxFutureMs: 60 * 60_000 };
const WITHOUT_DATE = ['id', 'sender.id', 'receiver', 'security.payload_hash', 'security.encryption'];
const TOO_LATE = CREATED_AT_MS + age.maxAgeMs + 1;
const { source } = await sealInMemory();

const opening = (from: EnvelopeSource, overrides: Parameters<typeof openRequest>[1]) =>
  codeOf(openEnvelope(openRequest(from, { age, ...overrides })));

/** The same envelope without a JWS; with an assertion over these paths, or none. */
function signedOver(
  paths: readonly string[] | undefined,
  change: Record<string, string> = {},
): EnvelopeSource {
  const document = JSON.parse(source.manifest.toString());
  delete document.sender.assertion;
  delete document.security.jws;
  if (paths !== undefined) document.sender.assertion = signAssertion(document, paths, SIGNER.privateKey);
  const { jws: _, ...rest } = source;
  return { ...rest, manifest: Buffer.from(JSON.stringify({ ...document, ...change })) };
}

describe('the limits', () => {
  it.each([
    ['a millisecond beyond the greatest age', age.maxAgeMs + 1, 'ENVELOPE_TOO_OLD'],
    ['the greatest age', age.maxAgeMs, undefined],
    ['as far ahead as may be', -age.maxFutureMs, undefined],
    ['a millisecond further ahead', -age.maxFutureMs - 1, 'ENVELOPE_FROM_FUTURE'],
  ])('%s', async (_what, ageMs, code) => {
    expect(await opening(source, { nowMs: CREATED_AT_MS + ageMs })).toBe(code);
  });

  it('no clock may be ahead where none may: a millisecond is refused', () => {
    expect(() => assertAge(CREATED_AT_MS, { ...age, maxFutureMs: 0 }, CREATED_AT_MS - 1)).toThrow(
      expect.objectContaining({ code: 'ENVELOPE_FROM_FUTURE' }),
    );
  });

  it('a date that is none passes no limit', () => {
    expect(() => assertAge(Number.NaN, age, CREATED_AT_MS)).toThrow(
      expect.objectContaining({ code: 'MANIFEST_INVALID' }),
    );
  });

  it('without limits an archive opens after a hundred years', async () => {
    expect(
      await codeOf(openEnvelope(openRequest(source, { nowMs: CREATED_AT_MS + 100 * age.maxAgeMs }))),
    ).toBe(undefined);
  });
});

describe('an envelope out of its time', () => {
  it('is refused before any key is tried, and nothing is staged', async () => {
    const staging = memoryStaging();
    const request = { nowMs: TOO_LATE, recipientKeys: [], stage: staging.stage };
    expect(await opening(source, request)).toBe('ENVELOPE_TOO_OLD');
    expect([...staging.files]).toEqual([]);
  });

  it('by a stranger is refused for the stranger, whose date says nothing', async () => {
    const trust = { kind: 'pinned', keys: [STRANGER.publicKey] } as const;
    expect(await opening(source, { nowMs: TOO_LATE, trust })).toBe('SIGNER_NOT_PINNED');
  });

  it('is not made younger by another date', async () => {
    const paths = [...WITHOUT_DATE, 'timestamp'];
    const redated = signedOver(paths, { timestamp: '2027-11-21T08:15:30Z' });
    expect(await opening(redated, { nowMs: TOO_LATE })).toBe('ASSERTION_INVALID');
    expect(await opening(signedOver(paths), { nowMs: TOO_LATE })).toBe('ENVELOPE_TOO_OLD');
    expect(await opening(signedOver(paths), { nowMs: CREATED_AT_MS })).toBeUndefined();
  });
});

describe('a date that nobody signed', () => {
  it('leaves an envelope unsigned where keys are pinned, even if all else is signed', async () => {
    expect(await opening(signedOver(WITHOUT_DATE), { nowMs: CREATED_AT_MS })).toBe('SIGNER_NOT_PINNED');
  });

  it('is taken at its word where unsigned envelopes are allowed', async () => {
    const trust = { kind: 'allow-unsigned' } as const;
    expect(await opening(signedOver(undefined), { nowMs: TOO_LATE, trust })).toBe('ENVELOPE_TOO_OLD');
    expect(await opening(signedOver(undefined), { nowMs: CREATED_AT_MS, trust })).toBeUndefined();
  });
});
