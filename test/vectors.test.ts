/**
 * The shared JMIX vectors: envelopes of four dialects, most of them not made by us, honest, tampered and hostile. Known
 * answers come first, because they localise a fault far better than an envelope that does not open.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toGatewayError } from '../src/errors/gateway-error.js';
import { signAssertion, verifyAssertion } from '../src/jmix/assertion.js';
import { DIALECTS } from '../src/jmix/dialect.js';
import { unpackEnvelopeArchive } from '../src/jmix/envelope-archive.js';
import { type EnvelopeSource, openEnvelopeFolder } from '../src/jmix/envelope-folder.js';
import { derivePayloadKey, sharedSecret } from '../src/jmix/key-agreement.js';
import { signCompactJws, verifyCompactJws } from '../src/jmix/manifest-jws.js';
import { type OpenedEnvelope, type OpenRequest, openEnvelope } from '../src/jmix/open.js';
import { createEncryptor } from '../src/jmix/payload-cipher.js';
import { createTreeConcatHash, inPathOrder, treeLinesHash } from '../src/jmix/payload-hash.js';
import {
  ed25519PrivateKey,
  ed25519PublicKey,
  rawPublicKey,
  x25519PrivateKey,
  x25519PublicKey,
} from '../src/jmix/raw-keys.js';
import type { Trust } from '../src/jmix/signatures.js';
import { fingerprintOf, hashesUnder, namesUnder } from './unit/jmix/support/folders.js';
import { codeOf } from './unit/jmix/support/sealing.js';
import { inChunks, memoryStaging } from './unit/jmix/support/staging.js';
import {
  expectedCodes,
  fromBase64,
  VECTORS,
  VECTORS_FOLDER,
  type Vector,
  vectorKind,
} from './unit/jmix/support/vectors.js';

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxEntries: 1000 };
/** When the vectors' assertions are in force. */
const NOW_MS = Date.parse('2026-11-21T12:00:00Z');
const AIMED_AT = '/tmp/jmix-evil';
/** Sizes of pieces: odd chunks, and byte by byte. */
const WAYS: readonly (readonly number[])[] = [[511, 3, 1, 1000], [1]];

let scratch: string;
beforeAll(async () => {
  // Two hostile vectors aim at this folder by its absolute name.
  await mkdir(AIMED_AT, { recursive: true });
  scratch = await mkdtemp(join(tmpdir(), 'jmix-vectors-'));
});
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
  const hit = await readdir(AIMED_AT);
  await rm(AIMED_AT, { recursive: true, force: true });
  expect(hit).toEqual([]);
});

describe('known answers', () => {
  const { kdf, aead, payload_hash, assertion, jws } = VECTORS.kat;
  const ephemeral = x25519PrivateKey(fromBase64(kdf.ephemeral_private));
  const recipient = x25519PrivateKey(fromBase64(kdf.recipient_private));
  const secret = sharedSecret(ephemeral, x25519PublicKey(fromBase64(kdf.recipient_public)));

  it('X25519 gives the shared secret from either side', () => {
    expect(rawPublicKey(recipient).toString('base64')).toBe(kdf.recipient_public);
    expect(secret.toString('hex')).toBe(kdf.shared_secret_hex);
    expect(sharedSecret(recipient, x25519PublicKey(fromBase64(kdf.ephemeral_public)))).toEqual(secret);
  });

  it.each(['js', 'rs', 'php'] as const)(
    'HKDF and AES-GCM give the key, ciphertext and tag of %s',
    (dialect) => {
      const key = derivePayloadKey(secret, kdf.info[dialect]);
      expect(key.toString('hex')).toBe(kdf.keys_hex[dialect]);
      const encryptor = createEncryptor(key, fromBase64(aead.iv));
      expect(encryptor.encrypt(Buffer.from(aead.plaintext_utf8)).toString('base64')).toBe(
        aead[dialect].ciphertext,
      );
      expect(encryptor.finish().toString('base64')).toBe(aead[dialect].auth_tag);
    },
  );

  it('both tree hashes are those of the files', () => {
    const contents = Object.entries(payload_hash.files_utf8);
    const files = contents.map(([file, text]) => ({
      file,
      sizeBytes: Buffer.byteLength(text),
      sha256: createHash('sha256').update(text).digest('hex'),
    }));
    expect(`sha256:${treeLinesHash(files, payload_hash.directories)}`).toBe(payload_hash.tree_lines);
    const concat = createTreeConcatHash();
    for (const [file, text] of inPathOrder(contents, ([name]) => name, 'bytes')) {
      concat.begin(file);
      concat.update(Buffer.from(text));
    }
    expect(`sha256:${concat.finish()}`).toBe(payload_hash.tree_concat);
  });

  it('the assertion verifies, and its scalar fields sign to bytes that verify again', () => {
    const { manifest, signed_fields, signing_key, signature } = assertion;
    const given = { signing_key, signed_fields: [...signed_fields], signature };
    expect(verifyAssertion(given, manifest, { nowMs: NOW_MS }).form).toBe('valid');
    const own = signAssertion(manifest, signed_fields, ed25519PrivateKey(fromBase64(assertion.seed)));
    expect(own).toEqual(given);
  });

  it('the JWS is signed to the same bytes, and verifies', () => {
    const key = ed25519PrivateKey(fromBase64(jws.seed));
    expect(signCompactJws(Buffer.from(jws.payload_utf8), key).toString()).toBe(jws.jws);
    const verified = verifyCompactJws(Buffer.from(jws.jws), [ed25519PublicKey(rawPublicKey(key))]);
    expect(verified.payload.toString()).toBe(jws.payload_utf8);
  });
});

describe.each(['honest', 'tampered', 'hostile', 'packed'] as const)('%s envelopes', (kind) => {
  for (const vector of VECTORS.cases.filter((candidate) => vectorKind(candidate) === kind)) {
    const codes = expectedCodes(vector);
    const outcome = codes.length === 0 ? 'opens' : `is refused with ${codes.join(' or ')}`;
    it(`${vector.id} ${outcome}`, () => play(vector, codes));
  }
});

describe('recipient keys', () => {
  const wrong = x25519PrivateKey(fromBase64(VECTORS.keys.recipient_2_wrong.private));
  const sealed = VECTORS.cases.filter((vector) => {
    return vectorKind(vector) === 'honest' && vector.keys.recipient_private_key !== undefined;
  });

  it.each(sealed.map((vector) => [vector.id, vector] as const))(
    '%s opens with the right key only',
    async (_, vector) => {
      const source = await openEnvelopeFolder(join(VECTORS_FOLDER, vector.envelope));
      const request = { ...requestFor(vector, source, unsigned(vector)), ...memoryStaging() };
      expect(await codeOf(openEnvelope({ ...request, recipientKeys: [wrong] }))).toBe(
        'PAYLOAD_DECRYPT_FAILED',
      );
      const both = openEnvelope({ ...request, recipientKeys: [wrong, ...request.recipientKeys] });
      expect([undefined, ...expectedCodes(vector)]).toContain(await codeOf(both));
    },
  );
});

/** Whole, through the disk; in odd chunks; byte by byte. */
async function play(vector: Vector, codes: readonly string[]): Promise<void> {
  // Deep enough that a name with many `..` would land inside the root, where it is seen.
  const root = await mkdtemp(join(scratch, 'vector-'));
  const folder = join(root, 'a/b/c/d/e/f/g/h/i');
  await mkdir(folder, { recursive: true });
  const before = await fingerprintOf(join(VECTORS_FOLDER, vector.envelope));
  const trust = codes.length > 0 && pinnedKeys(vector).length > 0 ? pinned(vector) : unsigned(vector);
  const out = join(folder, 'out');
  const whole = await attempt(async () => {
    const source = await sourceOf(vector, folder);
    return await openEnvelope(requestFor(vector, source, trust, diskStaging(out)));
  });
  expect(await namesUnder(root)).not.toContain('evil');
  expect(await fingerprintOf(join(VECTORS_FOLDER, vector.envelope))).toBe(before);
  if (codes.length > 0) {
    expect(codes).toContain(whole.code);
    expect(whole.message).not.toMatch(/Brown|Jane|PID|Phantom/);
  } else {
    expect(whole.code).toBeUndefined();
    expectOpened(vector, whole.opened);
    expect(await hashesUnder(out)).toEqual(listedHashes(vector, whole.opened));
    await expectPinned(vector, folder, whole.opened);
  }
  if (vector.packaging !== 'folder' || vector.keys.recipient_private_key === undefined) return;
  for (const sizes of WAYS) {
    const staging = memoryStaging();
    const again = await attempt(async () => {
      const source = await inChunks(await sourceOf(vector, folder), sizes);
      return await openEnvelope(requestFor(vector, source, trust, staging));
    });
    expect(again.code).toBe(whole.code);
    if (again.opened !== undefined) expect(staging.hashes()).toEqual(listedHashes(vector, again.opened));
  }
}

/** With pinned keys, exactly those open whose payload a pinned key vouches for. */
async function expectPinned(
  vector: Vector,
  folder: string,
  opened: OpenedEnvelope | undefined,
): Promise<void> {
  if (pinnedKeys(vector).length === 0 || vector.packaging !== 'folder') return;
  const source = await sourceOf(vector, folder);
  const { code } = await attempt(() => openEnvelope(requestFor(vector, source, pinned(vector))));
  expect(code).toBe(opened?.payloadCovered === true ? undefined : 'SIGNER_NOT_PINNED');
}

function expectOpened(vector: Vector, opened: OpenedEnvelope | undefined): void {
  if (opened === undefined) throw new Error('nothing was opened');
  // The makers of the tampered and hostile vectors wrote manifests anew, and so lost what tells php from canon.
  const isRewritten = vectorKind(vector) !== 'honest' && ['canon', 'php'].includes(vector.dialect);
  expect(isRewritten ? ['canon', 'php'] : [vector.dialect]).toContain(opened.dialect);
  if (vectorKind(vector) === 'honest') expectDialect(vector, opened);
  const wanted = vector.expect.checks ?? {};
  for (const [check, value] of Object.entries(wanted)) {
    if (check === 'payload_hash' && value === 'ok') expect(opened.checks.payloadHash).toMatch(/^ok:/);
    else if (check === 'payload_hash') expect(opened.checks.payloadHash).toBe(value);
    else if (value === 'valid-but-payload-not-covered') {
      expect(opened.checks.assertion).toBe('valid');
      expect(opened.payloadCovered).toBe(false);
    } else if (check === 'assertion') expect(opened.checks.assertion).toBe(value);
    else if (check === 'jws') expect(opened.checks.jws).toBe(value);
    else if (check === 'files_json') expect(opened.checks.filesJson).toBe(value);
    else if (check === 'schema') expect(opened.checks.schema).toBe(value);
    else throw new Error(`${vector.id}: unknown check ${check}`);
  }
}

/** Honest envelopes pin the fields of their dialect's record. */
function expectDialect(vector: Vector, { checks, manifest }: OpenedEnvelope): void {
  const dialect = DIALECTS.find(({ name }) => name === vector.dialect);
  const rule = manifest.encryption === undefined ? dialect?.plainPayloadHash : dialect?.sealedPayloadHash;
  if (checks.payloadHash !== 'absent:skipped') expect(checks.payloadHash).toBe(`ok:${rule}`);
  expect(manifest).toMatchObject({ keys: dialect?.manifestKeys, indent: dialect?.manifestIndent });
}

/** What the vector says must lie there; where it lists only the DICOM files, the documents are taken from the result. */
function listedHashes(vector: Vector, opened: OpenedEnvelope | undefined): Record<string, string> {
  const { dicom = [], other_files } = vector.expect;
  const listed = [...dicom, ...(other_files ?? [])].map(({ path, sha256 }): [string, string] => [
    path,
    sha256,
  ]);
  const rest = (opened?.files ?? []).filter(({ file }) => !file.startsWith('dicom/'));
  const others =
    other_files === undefined ? rest.map(({ file, sha256 }): [string, string] => [file, sha256]) : [];
  return Object.fromEntries([...listed, ...others]);
}

async function sourceOf(vector: Vector, folder: string): Promise<EnvelopeSource> {
  const path = join(VECTORS_FOLDER, vector.envelope);
  if (vector.packaging === 'folder') return await openEnvelopeFolder(path);
  const into = join(folder, 'envelope');
  await mkdir(into);
  const mediaType = vector.packaging === 'zip' ? 'application/zip' : 'application/gzip';
  const scratchFile = join(folder, 'scratch.zip');
  await unpackEnvelopeArchive(createReadStream(path), mediaType, into, LIMITS, { scratchFile });
  return await openEnvelopeFolder(into);
}

function requestFor(
  vector: Vector,
  source: EnvelopeSource,
  trust: Trust,
  staging: Pick<OpenRequest, 'stage'> = memoryStaging(),
): OpenRequest {
  const key = vector.keys.recipient_private_key;
  return {
    source,
    recipientKeys: key === undefined ? [] : [x25519PrivateKey(fromBase64(key))],
    trust,
    nowMs: NOW_MS,
    limits: LIMITS,
    stage: staging.stage,
  };
}

function pinnedKeys({ keys }: Vector) {
  const raw = [keys.sender_assertion_public_key, keys.jws_public_key].filter((text) => text !== undefined);
  return raw.map((text) => ed25519PublicKey(fromBase64(text)));
}

function pinned(vector: Vector): Trust {
  return { kind: 'pinned', keys: pinnedKeys(vector) };
}

function unsigned(vector: Vector): Trust {
  return { kind: 'allow-unsigned', keys: pinnedKeys(vector) };
}

function diskStaging(out: string): Pick<OpenRequest, 'stage'> {
  return {
    async stage(name) {
      await mkdir(dirname(join(out, name)), { recursive: true });
      return createWriteStream(join(out, name), { flags: 'wx' });
    },
  };
}

async function attempt(
  open: () => Promise<OpenedEnvelope>,
): Promise<{ opened?: OpenedEnvelope; code?: string; message?: string }> {
  try {
    return { opened: await open() };
  } catch (error) {
    const { code, message } = toGatewayError(error);
    return { code, message };
  }
}
