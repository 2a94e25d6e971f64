import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findPayloadKey } from '../../../src/jmix/candidate-key.js';
import { openEnvelopeFolder } from '../../../src/jmix/envelope-folder.js';
import { readManifest } from '../../../src/jmix/manifest.js';
import { decryptPayload } from '../../../src/jmix/payload-cipher.js';
import { type PayloadTarFile, payloadTarSize, writePayloadTar } from '../../../src/jmix/payload-tar.js';
import { x25519PrivateKey } from '../../../src/jmix/raw-keys.js';
import { readTar } from '../../../src/jmix/tar-reader.js';
import { collected } from './support/folders.js';
import { inPieces } from './support/staging.js';
import { fromBase64, VECTORS, VECTORS_FOLDER } from './support/vectors.js';

describe('the canonical tar', () => {
  it('is written to the bytes that the independent script wrote', async () => {
    const vector = VECTORS.cases.find(({ id }) => id === 'canon/encrypted');
    const { payload, manifest } = await openEnvelopeFolder(join(VECTORS_FOLDER, vector?.envelope ?? ''));
    const { encryption } = readManifest(manifest);
    if (payload.kind !== 'sealed' || encryption === undefined) throw new Error('the vector is not sealed');
    const recipientKey = x25519PrivateKey(fromBase64(VECTORS.keys.recipient_1.private));
    const { key } = await findPayloadKey(payload, encryption, [recipientKey]);
    const tar = await collected(decryptPayload(payload.open() as AsyncIterable<Buffer>, key, encryption));
    const files: PayloadTarFile[] = [];
    const limits = { maxEntries: 100, maxBytes: tar.length };
    for await (const entry of readTar(inPieces(tar, [tar.length])[Symbol.asyncIterator](), limits)) {
      if (entry.kind !== 'file') throw new Error('the canonical tar has no folders');
      const bytes = await collected(entry.body());
      files.push({ name: entry.name, sizeBytes: bytes.length, open: () => inPieces(bytes, [bytes.length]) });
    }
    expect((await collected(writePayloadTar(files))).equals(tar)).toBe(true);
    expect(payloadTarSize(files)).toBe(tar.length);
  });
});
