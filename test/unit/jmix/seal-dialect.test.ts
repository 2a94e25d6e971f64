import { createCipheriv, createHash, createPrivateKey, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { DIALECT_NAMES, type DialectName } from '../../../src/domain/peer.js';
import { DIALECT_OF } from '../../../src/jmix/dialect.js';
import { createNameRegister } from '../../../src/jmix/entry-name.js';
import { derivePayloadKey, sharedSecret } from '../../../src/jmix/key-agreement.js';
import { readManifest } from '../../../src/jmix/manifest.js';
import type { JmixMetadata } from '../../../src/jmix/metadata.js';
import { openEnvelope } from '../../../src/jmix/open.js';
import { createDecryptor } from '../../../src/jmix/payload-cipher.js';
import { createTreeConcatHash, inPathOrder } from '../../../src/jmix/payload-hash.js';
import { x25519PublicKey } from '../../../src/jmix/raw-keys.js';
import { TAR_BLOCK_BYTES } from '../../../src/jmix/tar-header.js';
import {
  codeOf,
  ENVELOPE_ID,
  openRequest,
  payloadFile,
  RECIPIENT,
  type SealedInMemory,
  STRANGER,
  sealInMemory,
} from './support/sealing.js';
import { memoryStaging } from './support/staging.js';
import { fromBase64, VECTORS } from './support/vectors.js';

const FOREIGN = ['js', 'rs', 'php'] as const;

/** U+FF5E and U+1F600: by bytes the first comes first, by UTF-16 units the second. */
const FILES = [
  payloadFile('files/\uff5e.pdf', Buffer.from('wide tilde')),
  payloadFile('files/\u{1f600}.pdf', Buffer.from('a face')),
  payloadFile('dicom/1.2.10.dcm', Buffer.alloc(70_000, 1)),
  payloadFile('dicom/1.2.9.dcm', Buffer.alloc(0)),
];

const METADATA: JmixMetadata = {
  patient: { id: 'TEST-1', name: { family: 'Nobody', given: ['Ann Mary'] }, sex: 'F' },
  studies: {
    studyDescription: 'CHEST',
    studyUid: '1.2',
    series: [{ seriesUid: '1.2.1', modality: 'CT', instanceCount: 2 }],
  },
  extensions: { drawbridge: { priority: 'stat' } },
};

function sealAs(dialect: DialectName): Promise<SealedInMemory> {
  return sealInMemory({ dialect, files: FILES, metadata: METADATA });
}

/** The plaintext tar, by node:crypto and the key that the dialect's info gives. */
function tarOf({ sealed, payload }: SealedInMemory, dialect: DialectName): Buffer {
  const parameters = readManifest(sealed.manifest).encryption;
  if (parameters === undefined) throw new Error('not sealed');
  const secret = sharedSecret(RECIPIENT.privateKey, x25519PublicKey(parameters.ephemeralPublicKey));
  const decryptor = createDecryptor(derivePayloadKey(secret, DIALECT_OF[dialect].hkdfInfo), parameters);
  return Buffer.concat([decryptor.update(payload), decryptor.final()]);
}

describe('an envelope in a foreign dialect is refused', () => {
  it.each(DIALECT_NAMES)('when its manifest names another receiver than was signed (%s)', async (dialect) => {
    const { source } = await sealAs(dialect);
    const manifest = Buffer.from(source.manifest.toString().replace('org:b', 'org:c'));
    const code = await codeOf(openEnvelope(openRequest({ ...source, manifest })));
    expect(code).toBe('ASSERTION_INVALID');
  });

  it.each(DIALECT_NAMES)('when another payload is put under its signature (%s)', async (dialect) => {
    const { source } = await sealAs(dialect);
    const other = await sealAs(dialect);
    const exchanged = { ...source, payload: other.source.payload };
    expect(await codeOf(openEnvelope(openRequest(exchanged)))).toBe('PAYLOAD_DECRYPT_FAILED');
  });

  it.each(DIALECT_NAMES)('when its signer is not pinned (%s)', async (dialect) => {
    const { source } = await sealAs(dialect);
    const trust = { kind: 'pinned', keys: [STRANGER.publicKey] } as const;
    expect(await codeOf(openEnvelope(openRequest(source, { trust })))).toBe('SIGNER_NOT_PINNED');
  });

  it.each(DIALECT_NAMES)('when manifest.jws, which it names, is gone (%s)', async (dialect) => {
    const { jws: _, ...source } = (await sealAs(dialect)).source;
    expect(await codeOf(openEnvelope(openRequest(source)))).toBe('ASSERTION_INVALID');
  });

  it.each(FOREIGN)('as a whole when the caller’s metadata would break the schema (%s)', async (dialect) => {
    const metadata = { patient: { id: 'TEST-1', dob: '19700101' } };
    expect(await codeOf(sealInMemory({ dialect, metadata }))).toBe('METADATA_INVALID');
  });
});

describe('an envelope in a dialect opens', () => {
  it.each(DIALECT_NAMES)(
    'as that dialect, with every file, and its payload and manifest signed (%s)',
    async (dialect) => {
      const { sealed, source } = await sealAs(dialect);
      const staging = memoryStaging();
      const opened = await openEnvelope(openRequest(source, { stage: staging.stage }));
      expect(opened).toMatchObject({
        id: ENVELOPE_ID,
        dialect,
        payloadCovered: true,
        manifestCovered: true,
        checks: {
          payloadHash: `ok:${DIALECT_OF[dialect].sealedPayloadHash}`,
          jws: 'valid:exact-bytes',
          assertion: dialect === 'canon' || dialect === 'rs' ? 'valid' : 'absent',
          filesJson: dialect === 'js' ? 'absent' : 'ok',
          schema: dialect === 'js' ? 'nonconforming' : 'ok',
        },
      });
      for (const entry of sealed.files) expect(staging.hashes()[entry.file]).toBe(entry.sha256);
      expect(sealed.files.map((entry) => entry.file)).toHaveLength(FILES.length + 1);
    },
  );

  it.each(DIALECT_NAMES)('with the study and what the bridges tell each other (%s)', async (dialect) => {
    const { source } = await sealAs(dialect);
    const { metadata } = await openEnvelope(openRequest(source));
    expect(metadata.model).toMatchObject({
      patient: { id: 'TEST-1', sex: 'F' },
      studies: { studyDescription: 'CHEST', studyUid: '1.2' },
      extensions: { drawbridge: { priority: 'stat' } },
    });
  });
});

describe('what is written', () => {
  it.each(DIALECT_NAMES)('holds nothing of the patient in the manifest (%s)', async (dialect) => {
    expect((await sealAs(dialect)).sealed.manifest.toString()).not.toMatch(
      // None that keys and signatures in base64 could hold by chance.
      /TEST-1|Nobody|Ann Mary|CHEST/,
    );
  });

  it('has the member names of jmix-js for jmix-js, and of the specification for all others', async () => {
    const membersAs = async (dialect: DialectName) =>
      Object.keys(JSON.parse((await sealAs(dialect)).sealed.manifest.toString()));
    expect(await membersAs('js')).toEqual([
      'jmix_version',
      'envelope_id',
      'created_at',
      'sender',
      'receivers',
      'security',
    ]);
    for (const dialect of ['canon', 'rs', 'php'] as const) {
      expect(await membersAs(dialect)).toEqual([
        'version',
        'id',
        'timestamp',
        'sender',
        'receiver',
        'security',
      ]);
    }
  });

  it.each(DIALECT_NAMES)('has safe names under the dialect’s root in the tar (%s)', async (dialect) => {
    const tar = tarOf(await sealAs(dialect), dialect);
    const register = createNameRegister();
    const names: string[] = [];
    for (let at = 0; tar[at] !== 0; ) {
      names.push(tar.toString('utf8', at, tar.indexOf(0, at)));
      const size = Number.parseInt(tar.toString('latin1', at + 124, at + 135), 8);
      at += TAR_BLOCK_BYTES + Math.ceil(size / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
    }
    for (const name of names) register.addFile(name);
    const { tarRoot } = DIALECT_OF[dialect];
    expect(names).toContain(`${tarRoot}metadata.json`);
    expect(names).toContain(`${tarRoot}dicom/1.2.9.dcm`);
    expect(names.every((name) => name.startsWith(tarRoot))).toBe(true);
  });

  it('has SHA-256 of the tar as payload hash for jmix-rs', async () => {
    const envelope = await sealAs('rs');
    const digest = createHash('sha256').update(tarOf(envelope, 'rs')).digest('hex');
    expect(envelope.sealed.payloadHash).toBe(`sha256:${digest}`);
  });

  it('has path and bytes of each file, by UTF-16 units, as payload hash for jmix-js', async () => {
    const { sealed, source } = await sealAs('js');
    const staging = memoryStaging();
    await openEnvelope(openRequest(source, { stage: staging.stage }));
    const hash = createHash('sha256');
    for (const name of [...staging.files.keys()].sort()) {
      hash.update(`${name}\n`).update(staging.files.get(name) ?? '');
    }
    expect(sealed.payloadHash).toBe(`sha256:${hash.digest('hex')}`);
  });
});

describe('known answers of the libraries', () => {
  const { kdf, aead, payload_hash: tree } = VECTORS.kat;

  it.each(FOREIGN)('key, ciphertext and tag (%s)', (name) => {
    const secret = sharedSecret(
      x25519Private(kdf.recipient_private),
      x25519PublicKey(fromBase64(kdf.ephemeral_public)),
    );
    const key = derivePayloadKey(secret, DIALECT_OF[name].hkdfInfo);
    expect(key.toString('hex')).toBe(kdf.keys_hex[name]);
    const cipher = createCipheriv('aes-256-gcm', key, fromBase64(aead.iv));
    const ciphertext = Buffer.concat([cipher.update(aead.plaintext_utf8), cipher.final()]);
    expect(ciphertext.toString('base64')).toBe(aead[name].ciphertext);
    expect(cipher.getAuthTag().toString('base64')).toBe(aead[name].auth_tag);
  });

  it('the tree hash of jmix-js, as it is taken while sealing', () => {
    const hash = createTreeConcatHash();
    for (const [name, text] of inPathOrder(Object.entries(tree.files_utf8), ([path]) => path, 'utf16')) {
      hash.begin(name);
      hash.update(Buffer.from(text));
    }
    expect(`sha256:${hash.finish()}`).toBe(tree.tree_concat);
  });
});

/** From 32 raw bytes in base64, by RFC 8410's fixed prefix. */
function x25519Private(base64: string): KeyObject {
  const der = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), fromBase64(base64)]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}
