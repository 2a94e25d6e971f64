/** Two good envelopes of one sender to the same receivers: no part of one passes in the other. */
import { describe, expect, it } from 'vitest';
import { parseEnvelopeId } from '../../../src/domain/envelope-id.js';
import { DIALECT_NAMES, type DialectName } from '../../../src/domain/peer.js';
import { DIALECT_OF } from '../../../src/jmix/dialect.js';
import type { EnvelopeSource } from '../../../src/jmix/envelope-folder.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { plainOnDisk } from './support/plain.js';
import {
  codeOf,
  openRequest,
  payloadFile,
  RECEIVER,
  RECIPIENT,
  sealInMemory,
  type sealRequest,
} from './support/sealing.js';
import { type AnyDocument, asserted } from './support/signing.js';
import { memoryStaging } from './support/staging.js';

const OTHER_ID = parseEnvelopeId('0f8b7c1e-5d0a-4c1b-9e55-6f0e6c7a9b02');
const OTHER_FILE = { files: [payloadFile('dicom/1.2.3.dcm', Buffer.from('of another patient'))] };
const TWO = {
  recipients: ['org:b', 'org:c'].map((id) => ({ entity: { ...RECEIVER, id }, key: RECIPIENT.publicKey })),
};

const documentOf = (source: EnvelopeSource): AnyDocument => JSON.parse(source.manifest.toString());
const withDocument = (source: EnvelopeSource, document: AnyDocument): EnvelopeSource => ({
  ...source,
  manifest: Buffer.from(JSON.stringify(document, null, 2)),
});
const jwsOf = ({ jws }: EnvelopeSource) => (jws === undefined ? {} : { jws });

/** Everything that can be taken from one envelope and put into the other. */
const EXCHANGES: Record<string, (mine: EnvelopeSource, theirs: EnvelopeSource) => EnvelopeSource> = {
  payload: (mine, theirs) => ({ ...mine, payload: theirs.payload }),
  'manifest and JWS': (mine, theirs) => ({ ...mine, manifest: theirs.manifest, ...jwsOf(theirs) }),
  manifest: (mine, theirs) => ({ ...mine, manifest: theirs.manifest }),
  JWS: (mine, theirs) => ({ ...mine, ...jwsOf(theirs) }),
  ...Object.fromEntries(
    ['payload_hash', 'encryption'].map((member) => [
      member,
      (mine: EnvelopeSource, theirs: EnvelopeSource) => {
        const document = documentOf(mine);
        document.security[member] = documentOf(theirs).security[member];
        return withDocument(mine, document);
      },
    ]),
  ),
  'block and payload': (mine, theirs) => {
    const document = documentOf(mine);
    document.security = documentOf(theirs).security;
    return { ...withDocument(mine, document), payload: theirs.payload };
  },
  assertion: (mine, theirs) => {
    const document = documentOf(mine);
    document.sender = documentOf(theirs).sender;
    return withDocument(mine, document);
  },
  extensions: (mine, theirs) =>
    withDocument(mine, { ...documentOf(mine), extensions: documentOf(theirs).extensions }),
  'id and time': (mine, theirs) => {
    const document = documentOf(mine);
    for (const member of ['id', 'timestamp', 'envelope_id', 'created_at']) {
      if (Object.hasOwn(document, member)) document[member] = documentOf(theirs)[member];
    }
    return withDocument(mine, document);
  },
};

async function pair(overrides: Parameters<typeof sealRequest>[0]): Promise<[EnvelopeSource, EnvelopeSource]> {
  const [mine, theirs] = await Promise.all([
    sealInMemory(overrides),
    sealInMemory({ ...OTHER_FILE, ...overrides, id: OTHER_ID, extensions: { customTags: ['urgent'] } }),
  ]);
  return [mine.source, theirs.source];
}

describe.each(DIALECT_NAMES)('between two %s envelopes', (dialect: DialectName) => {
  const hasAssertion = DIALECT_OF[dialect].assertedFields.length > 0;
  it.each(Object.keys(EXCHANGES).filter((part) => hasAssertion || part !== 'assertion'))(
    'an exchanged %s is refused',
    async (part) => {
      await expectRefused(await pair({ dialect }), part);
    },
  );
});

describe('between two envelopes for several receivers', () => {
  it.each(Object.keys(EXCHANGES))('an exchanged %s is refused', async (part) => {
    await expectRefused(await pair(TWO), part);
  });
});

describe('between two plain envelopes', () => {
  it.each(['payload', 'manifest and JWS', 'manifest', 'JWS', 'payload_hash', 'assertion', 'id and time'])(
    'an exchanged %s is refused',
    async (part) => {
      const [mine, theirs] = [await plainOnDisk(), await plainOnDisk({ ...OTHER_FILE, id: OTHER_ID })];
      await expectRefused([mine.source, theirs.source], part);
      await Promise.all([mine.remove(), theirs.remove()]);
    },
  );

  it('a sealed payload under a plain manifest is refused, and a plain one under a sealed', async () => {
    const plain = await plainOnDisk();
    const { source: sealed } = await sealInMemory();
    expect(await codeOpening({ ...plain.source, payload: sealed.payload })).toBe(
      'ENCRYPTION_PARAMETERS_INVALID',
    );
    expect(await codeOpening({ ...sealed, payload: plain.source.payload })).toBe('ENVELOPE_MALFORMED');
    await plain.remove();
  });
});

describe('where an assertion is all there is', () => {
  const halfSigned = async (overrides = {}) =>
    (await pair(overrides)).map((source) => {
      const document = documentOf(source);
      return asserted(source, document, document.sender.assertion.signed_fields);
    }) as [EnvelopeSource, EnvelopeSource];

  it.each(Object.keys(EXCHANGES).filter((part) => !['JWS', 'extensions'].includes(part)))(
    'an exchanged %s is refused',
    async (part) => {
      await expectRefused(await halfSigned(), part);
      await expectRefused(await halfSigned(TWO), part);
    },
  );

  it('an exchanged content key is refused, though the assertion leaves it out', async () => {
    await expectRefused(await halfSigned(TWO), 'extensions');
  });

  it.each([
    'id',
    'timestamp',
    'sender.id',
    'receiver.0.id',
    'security.payload_hash',
    'security.encryption.ephemeral_public_key',
    'security.encryption.iv',
    'security.encryption.auth_tag',
  ])('the envelope counts as unsigned when %s is not in it', async (path) => {
    const { source } = await sealInMemory();
    const document = documentOf(source);
    const paths: readonly string[] = document.sender.assertion.signed_fields;
    expect(paths).toContain(path);
    const without = asserted(
      source,
      document,
      paths.filter((other) => other !== path),
    );
    expect(await codeOpening(without)).toBe('SIGNER_NOT_PINNED');
    const trust = { kind: 'allow-unsigned' } as const;
    const opened = await openEnvelope(openRequest(without, { trust }));
    expect(opened).toMatchObject({ payloadCovered: false, checks: { assertion: 'valid' } });
  });

  it('because the JWS was taken away from ours, the envelope is refused', async () => {
    const { jws: _jws, ...source } = (await sealInMemory()).source;
    const document = documentOf(source);
    delete document.security.jws;
    expect(await codeOpening(withDocument(source, document))).toBe('ASSERTION_INVALID');
  });

  it('another receiver, added behind those that were signed, is refused', async () => {
    const { source } = await sealInMemory();
    const document = documentOf(source);
    const half = asserted(source, document, document.sender.assertion.signed_fields);
    const longer = documentOf(half);
    longer.receiver.push({ id: 'org:x' });
    expect(await codeOpening(half)).toBeUndefined();
    expect(await codeOpening(withDocument(half, longer))).toBe('SIGNER_NOT_PINNED');
  });
});

it('what audit.json says changes nothing about what is opened', async () => {
  const [mine, theirs] = await pair({});
  const { audit } = theirs;
  const opened = await openEnvelope(openRequest({ ...mine, ...(audit === undefined ? {} : { audit }) }));
  expect(opened).toEqual(await openEnvelope(openRequest(mine)));
});

/** Refused with a code of its own, and nothing left that could be believed. */
async function expectRefused([mine, theirs]: [EnvelopeSource, EnvelopeSource], part: string): Promise<void> {
  expect(await codeOpening(mine)).toBeUndefined();
  expect(await codeOpening(theirs)).toBeUndefined();
  const exchanged = EXCHANGES[part]?.(mine, theirs);
  if (exchanged === undefined) throw new Error(`no exchange of ${part}`);
  expect(await codeOpening(exchanged)).toMatch(
    /^(ASSERTION_INVALID|ENCRYPTION_PARAMETERS_INVALID|PAYLOAD_DECRYPT_FAILED|PAYLOAD_HASH_MISMATCH)$/,
  );
}

function codeOpening(source: EnvelopeSource): Promise<string | undefined> {
  return codeOf(openEnvelope(openRequest(source, { stage: memoryStaging().stage })));
}
