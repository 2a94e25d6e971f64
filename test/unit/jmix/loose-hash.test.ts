/** A `tree-concat` hash says where no file ends, so a signature over it binds no payload that is not sealed. */
import { expect, it } from 'vitest';
import type { EnvelopeSource, PlainFile } from '../../../src/jmix/envelope-folder.js';
import { signCompactJws } from '../../../src/jmix/manifest-jws.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { createTreeConcatHash } from '../../../src/jmix/payload-hash.js';
import type { Trust } from '../../../src/jmix/signatures.js';
import { codeOf, ENVELOPE_ID, openRequest, SIGNER, sealInMemory, streamOf } from './support/sealing.js';

const METADATA = Buffer.from(
  JSON.stringify({
    version: '1.0',
    id: ENVELOPE_ID,
    timestamp: '2026-11-21T08:15:30Z',
    patient: { id: 'P1', name: { family: 'Invented' } },
  }),
);
const HONEST: readonly (readonly [string, Buffer])[] = [
  ['dicom/1.dcm', Buffer.from('one')],
  ['dicom/2.dcm', Buffer.from('two')],
  ['metadata.json', METADATA],
];
/** The same bytes under the hash, and one instance less. */
const JOINED: readonly (readonly [string, Buffer])[] = [
  ['dicom/1.dcm', Buffer.from('onedicom/2.dcm\ntwo')],
  ['metadata.json', METADATA],
];

async function source(files: readonly (readonly [string, Buffer])[]): Promise<EnvelopeSource> {
  const { sealed } = await sealInMemory();
  const document = JSON.parse(sealed.manifest.toString('utf8')) as {
    sender: { assertion?: unknown };
    security: { encryption?: unknown; payload_hash: string };
  };
  const hash = createTreeConcatHash();
  for (const [name, bytes] of HONEST) {
    hash.begin(name);
    hash.update(bytes);
  }
  document.security.payload_hash = `sha256:${hash.finish()}`;
  delete document.security.encryption;
  delete document.sender.assertion;
  const manifest = Buffer.from(JSON.stringify(document, null, 2));
  const plain = files.map(
    ([name, bytes]): PlainFile => ({ name, sizeBytes: bytes.length, open: () => streamOf(bytes) }),
  );
  return {
    manifest,
    jws: signCompactJws(manifest, SIGNER.privateKey),
    payload: { kind: 'plain', files: plain, folders: ['dicom'] },
  };
}

const open = async (files: typeof HONEST, trust: Trust) =>
  openEnvelope(openRequest(await source(files), { trust }));

it('with pinned keys such an envelope is refused, altered or not', async () => {
  for (const files of [HONEST, JOINED]) {
    expect(await codeOf(open(files, { kind: 'pinned', keys: [SIGNER.publicKey] }))).toBe('SIGNER_NOT_PINNED');
  }
});

it('where unsigned ones are taken it opens, and nobody is said to have signed its payload', async () => {
  const opened = await open(JOINED, { kind: 'allow-unsigned', keys: [SIGNER.publicKey] });
  expect(opened).toMatchObject({ payloadCovered: false, isPinned: false, manifestCovered: true });
  expect(opened.signedBy).toBeUndefined();
});

it('a key that the caller has not named is not pinned, whatever it signed', async () => {
  const { source: sealed } = await sealInMemory();
  const request = (trust: Trust) => openEnvelope(openRequest(sealed, { trust }));
  expect((await request({ kind: 'allow-unsigned' })).isPinned).toBe(false);
  expect((await request({ kind: 'pinned', keys: [SIGNER.publicKey] })).isPinned).toBe(true);
});
