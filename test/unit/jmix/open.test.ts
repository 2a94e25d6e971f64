import { generateKeyPairSync } from 'node:crypto';
import { Writable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EnvelopeSource } from '../../../src/jmix/envelope-folder.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import {
  CREATED_AT_MS,
  codeOf,
  LIMITS,
  openRequest,
  payloadFile,
  RECIPIENT,
  SIGNER,
  STRANGER,
  sealInMemory,
} from './support/sealing.js';
import { memoryStaging, sealedSource } from './support/staging.js';

const UNSIGNED = { kind: 'allow-unsigned' } as const;
const sealed = await sealInMemory({
  files: [payloadFile('dicom/1.dcm', Buffer.alloc(700, 1)), payloadFile('files/a.txt', Buffer.from('a'))],
});
const bit = (bytes: Buffer) => fc.nat({ max: bytes.length * 8 - 1 });

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at >> 3] = (copy[at >> 3] ?? 0) ^ (1 << (at & 7));
  return copy;
}

function withoutSignatures(source: EnvelopeSource): EnvelopeSource {
  const document = JSON.parse(source.manifest.toString());
  delete document.sender.assertion;
  delete document.security.jws;
  const { jws: _, ...rest } = source;
  return { ...rest, manifest: Buffer.from(JSON.stringify(document)) };
}

describe('a single flipped bit', () => {
  it('in the sealed payload is PAYLOAD_DECRYPT_FAILED, and never another code', async () => {
    await fc.assert(
      fc.asyncProperty(bit(sealed.payload), async (at) => {
        const source = sealedSource(sealed.source, flipped(sealed.payload, at));
        expect(await codeOf(openEnvelope(openRequest(source)))).toBe('PAYLOAD_DECRYPT_FAILED');
      }),
      { numRuns: 150 },
    );
  });

  it.each([
    ['iv', 12],
    ['auth_tag', 16],
    ['ephemeral_public_key', 32],
  ])('in %s of an unsigned envelope is PAYLOAD_DECRYPT_FAILED', async (member, sizeBytes) => {
    const unsigned = withoutSignatures(sealed.source);
    for (let at = 0; at < sizeBytes * 8; at += 1) {
      // X25519 ignores the highest bit of a public key (RFC 7748 §5).
      if (member === 'ephemeral_public_key' && at === 255) continue;
      const document = JSON.parse(unsigned.manifest.toString());
      const block = document.security.encryption;
      block[member] = flipped(Buffer.from(block[member], 'base64'), at).toString('base64');
      const source = { ...unsigned, manifest: Buffer.from(JSON.stringify(document)) };
      expect(await codeOf(openEnvelope(openRequest(source, { trust: UNSIGNED })))).toBe(
        'PAYLOAD_DECRYPT_FAILED',
      );
    }
  });

  it('in manifest or JWS never opens', async () => {
    await fc.assert(
      fc.asyncProperty(bit(sealed.source.manifest), async (at) => {
        const source = { ...sealed.source, manifest: flipped(sealed.source.manifest, at) };
        expect(await codeOf(openEnvelope(openRequest(source)))).toMatch(
          /^(MANIFEST_INVALID|ENCRYPTION_PARAMETERS_INVALID|ASSERTION_INVALID|ASSERTION_EXPIRED|SIGNER_NOT_PINNED)$/,
        );
      }),
      { numRuns: 150 },
    );
    const jws = sealed.source.jws ?? Buffer.alloc(0);
    await fc.assert(
      fc.asyncProperty(bit(jws), async (at) => {
        const source = { ...sealed.source, jws: flipped(jws, at) };
        expect(await codeOf(openEnvelope(openRequest(source)))).toMatch(
          /^(ASSERTION_INVALID|SIGNER_NOT_PINNED)$/,
        );
      }),
      { numRuns: 150 },
    );
  });
});

describe('with pinned keys', () => {
  it('an unsigned envelope is SIGNER_NOT_PINNED, and opens only where unsigned is allowed', async () => {
    const source = withoutSignatures(sealed.source);
    expect(await codeOf(openEnvelope(openRequest(source)))).toBe('SIGNER_NOT_PINNED');
    const opened = await openEnvelope(openRequest(source, { trust: UNSIGNED }));
    expect(opened).toMatchObject({ payloadCovered: false, checks: { assertion: 'absent', jws: 'absent' } });
    expect(opened.signedBy).toBeUndefined();
  });

  it('an envelope of another signer is SIGNER_NOT_PINNED', async () => {
    const trust = { kind: 'pinned', keys: [STRANGER.publicKey] } as const;
    expect(await codeOf(openEnvelope(openRequest(sealed.source, { trust })))).toBe('SIGNER_NOT_PINNED');
  });

  it('an envelope is opened when one of several pinned keys signed it', async () => {
    const trust = { kind: 'pinned', keys: [STRANGER.publicKey, SIGNER.publicKey] } as const;
    expect(await codeOf(openEnvelope(openRequest(sealed.source, { trust })))).toBeUndefined();
  });

  it('a JWS that was taken away is noticed', async () => {
    const { jws: _, ...source } = sealed.source;
    expect(await codeOf(openEnvelope(openRequest(source)))).toBe('ASSERTION_INVALID');
  });

  it('a payload sealed anew under an old manifest signature is refused', async () => {
    const other = await sealInMemory();
    const source = sealedSource(sealed.source, other.payload);
    expect(await codeOf(openEnvelope(openRequest(source)))).toBe('PAYLOAD_DECRYPT_FAILED');
  });

  it('an assertion past its expiry is ASSERTION_EXPIRED, one millisecond earlier it opens', async () => {
    const expiring = await sealInMemory({ assertionExpiresAtMs: CREATED_AT_MS + 5000 });
    const at = (nowMs: number) => codeOf(openEnvelope(openRequest(expiring.source, { nowMs })));
    expect(await at(CREATED_AT_MS + 5000)).toBe('ASSERTION_EXPIRED');
    expect(await at(CREATED_AT_MS + 4999)).toBeUndefined();
  });
});

describe('the recipient', () => {
  it('with another key gets PAYLOAD_DECRYPT_FAILED, with both opens', async () => {
    const other = generateKeyPairSync('x25519').privateKey;
    expect(await codeOf(openEnvelope(openRequest(sealed.source, { recipientKeys: [other] })))).toBe(
      'PAYLOAD_DECRYPT_FAILED',
    );
    const recipientKeys = [other, RECIPIENT.privateKey];
    expect(await codeOf(openEnvelope(openRequest(sealed.source, { recipientKeys })))).toBeUndefined();
  });

  it('without any key gets PAYLOAD_DECRYPT_FAILED', async () => {
    expect(await codeOf(openEnvelope(openRequest(sealed.source, { recipientKeys: [] })))).toBe(
      'PAYLOAD_DECRYPT_FAILED',
    );
  });
});

describe('the staging', () => {
  it.each([
    ['entries', { ...LIMITS, maxEntries: 3 }],
    ['bytes', { ...LIMITS, maxBytes: 700 }],
    ['document bytes', { ...LIMITS, maxDocumentBytes: 100 }],
  ])('that would exceed its limit of %s is ENVELOPE_TOO_LARGE', async (_, limits) => {
    expect(await codeOf(openEnvelope(openRequest(sealed.source, { limits })))).toBe('ENVELOPE_TOO_LARGE');
  });

  it('on a full disk is SPOOL_WRITE_FAILED', async () => {
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const stage = async () => new Writable({ write: (_chunk, _encoding, done) => done(full) });
    expect(await codeOf(openEnvelope(openRequest(sealed.source, { stage })))).toBe('SPOOL_WRITE_FAILED');
  });

  it('is complete, down to the last sink, when openEnvelope returns', async () => {
    const files = Array.from({ length: 30 }, (_, index) =>
      payloadFile(`dicom/${index}.dcm`, Buffer.alloc(10)),
    );
    const { source } = await sealInMemory({ files });
    let open = 0;
    let most = 0;
    const stage = async () => {
      open += 1;
      most = Math.max(most, open);
      const final = (done: () => void) => {
        open -= 1;
        setImmediate(done);
      };
      return new Writable({ write: (_chunk, _encoding, done) => setImmediate(done), final });
    };
    await openEnvelope(openRequest(source, { stage }));
    expect(open).toBe(0);
    expect(most).toBeLessThanOrEqual(8);
  });

  it('is left alone after an abort', async () => {
    const signal = AbortSignal.abort();
    expect(await codeOf(openEnvelope(openRequest(sealed.source, { signal })))).toBe('CANCELLED');
  });

  it('gets safe names only, and its progress', async () => {
    const seen: number[] = [];
    const staging = memoryStaging();
    await openEnvelope(
      openRequest(sealed.source, { stage: staging.stage, onProgress: (bytes) => seen.push(bytes) }),
    );
    expect([...staging.files.keys()].sort()).toEqual([
      'dicom/1.dcm',
      'files.json',
      'files/a.txt',
      'metadata.json',
    ]);
    expect(seen.at(-1)).toBe(sealed.payload.length);
  });
});
