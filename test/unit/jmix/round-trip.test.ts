/** open(seal(x)) = x, for whatever may be sealed. */
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DIALECT_NAMES } from '../../../src/domain/peer.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { keyFingerprint } from '../../../src/jmix/raw-keys.js';
import type { PayloadFile, Recipient } from '../../../src/jmix/seal.js';
import { plainOnDisk } from './support/plain.js';
import { openRequest, payloadFile, RECEIVER, SIGNER, sealInMemory } from './support/sealing.js';
import { memoryStaging } from './support/staging.js';

const KEYS = [0, 1, 2].map(() => generateKeyPairSync('x25519'));
const BOUNDARY_SIZES = [0, 1, 511, 512, 513, 65535, 65536, 65537];

const bytes = fc.oneof(
  fc.constantFrom(...BOUNDARY_SIZES).map((size) => Buffer.alloc(size, 0xa5)),
  fc.uint8Array({ maxLength: 2000 }).map((array) => Buffer.from(array)),
);
/** One segment of a name: any text, but for what no archive may hold; those are refused, which is tested elsewhere. */
const segment = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .map((text) => text.replace(/[\0-\x1f\x7f/\\]/g, '_'))
  .filter((text) => !/^\.{1,2}$/.test(text) && Buffer.byteLength(text) <= 40);
const name = fc
  .tuple(fc.constantFrom('dicom', 'files', 'preview'), fc.array(segment, { minLength: 1, maxLength: 2 }))
  .map(([folder, segments]) => [folder, ...segments].join('/'));
/** No two that one disk could not hold. */
const contents = fc
  .array(fc.tuple(name, bytes), { maxLength: 6 })
  .map((pairs) => new Map(pairs.map(([path, content]) => [path.normalize('NFC').toLowerCase(), content])))
  .map((all) => [...all].filter(([path]) => ![...all.keys()].some((other) => other.startsWith(`${path}/`))));
const pieces = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 3 });

const filesOf = (all: readonly (readonly [string, Buffer])[], sizes: readonly number[]): PayloadFile[] =>
  all.map(([path, content]) => payloadFile(path, content, sizes));
const recipientsFor = (count: number): readonly Recipient[] =>
  KEYS.slice(0, count).map(({ publicKey }, at) => ({
    entity: { ...RECEIVER, id: `org:${at}` },
    key: publicKey,
  }));

it('for any files, names, sizes, dialects, recipients, and for each of them', async () => {
  const forWhom = fc.oneof(
    fc.record({ dialect: fc.constantFrom(...DIALECT_NAMES), count: fc.constant(1) }),
    fc.record({ dialect: fc.constant('canon' as const), count: fc.constantFrom(2, 3) }),
  );
  await fc.assert(
    fc.asyncProperty(contents, pieces, forWhom, async (all, sizes, { dialect, count }) => {
      const { sealed, source } = await sealInMemory({
        dialect,
        files: filesOf(all, sizes),
        recipients: recipientsFor(count),
      });
      for (const { privateKey } of KEYS.slice(0, count)) {
        const staging = memoryStaging();
        const opened = await openEnvelope(
          openRequest(source, { recipientKeys: [privateKey], stage: staging.stage }),
        );
        for (const [path, content] of all) expect(staging.files.get(path)?.equals(content)).toBe(true);
        expect(staging.files.size).toBe(all.length + (dialect === 'js' ? 1 : 2));
        expect(opened.files.filter(({ file }) => file !== 'files.json')).toEqual(sealed.files);
        expect(opened.signedBy).toBe(keyFingerprint(SIGNER.publicKey));
        expect(opened.dialect).toBe(dialect);
      }
    }),
    { numRuns: 80 },
  );
});

it('for any files of a plain envelope', async () => {
  await fc.assert(
    fc.asyncProperty(contents, pieces, async (all, sizes) => {
      const { source, envelope, remove } = await plainOnDisk({ files: filesOf(all, sizes) });
      const staging = memoryStaging();
      const opened = await openEnvelope(openRequest(source, { stage: staging.stage }));
      for (const [path, content] of all) expect(staging.files.get(path)?.equals(content)).toBe(true);
      const byName = (a: { file: string }, b: { file: string }) => (a.file < b.file ? -1 : 1);
      const listed = opened.files.filter(({ file }) => file !== 'files.json');
      expect(listed.toSorted(byName)).toEqual(envelope.files.toSorted(byName));
      await remove();
    }),
    { numRuns: 20 },
  );
});
