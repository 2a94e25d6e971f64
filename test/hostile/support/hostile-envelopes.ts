/** Envelopes that are sealed and signed as they should be, around a payload or with a manifest that should not be. */
import { createHash, randomBytes } from 'node:crypto';
import type { EnvelopeSource } from '../../../src/jmix/envelope-folder.js';
import { agreeSealingKey } from '../../../src/jmix/key-agreement.js';
import { signCompactJws } from '../../../src/jmix/manifest-jws.js';
import { createEncryptor } from '../../../src/jmix/payload-cipher.js';
import type { JsonObject } from '../../../src/jmix/strict-json.js';
import { type RawEntry, tarOf } from '../../unit/jmix/support/archives.js';
import { ENVELOPE_ID, RECIPIENT, SIGNER, sealInMemory } from '../../unit/jmix/support/sealing.js';
import { sealedSource } from '../../unit/jmix/support/staging.js';

const honest = await sealInMemory();

/** A manifest as JSON, to be changed before it is signed. */
export interface ManifestJson extends JsonObject {
  security: JsonObject & { encryption: JsonObject; payload_hash: string };
}

/** The metadata.json of the envelope that `sealTar` makes. */
export const METADATA: RawEntry = {
  name: 'metadata.json',
  content: JSON.stringify({
    version: '1.0',
    id: ENVELOPE_ID,
    timestamp: '2026-11-21T08:15:30Z',
    patient: { id: 'TEST-1', name: { text: 'DOE^JANE' } },
  }),
};

/** `manifest` signed by the JWS alone, whatever is in it. */
export function signedSource(manifest: Buffer, payload: Buffer): EnvelopeSource {
  const jws = signCompactJws(manifest, SIGNER.privateKey);
  const none = { kind: 'plain', files: [], folders: [] } as const;
  return sealedSource({ manifest, jws, payload: none }, payload);
}

/** An envelope whose signatures, tag and hash are good, around `tar`. */
export function sealTar(
  tar: Buffer,
  change: (manifest: ManifestJson) => void = () => undefined,
): EnvelopeSource {
  const { key, ephemeralPublicKey } = agreeSealingKey(RECIPIENT.publicKey, 'JMIX-payload-encryption');
  const iv = randomBytes(12);
  const encryptor = createEncryptor(key, iv);
  const payload = encryptor.encrypt(tar);
  const document = unsignedManifest();
  document.security.payload_hash = `sha256:${createHash('sha256').update(payload).digest('hex')}`;
  document.security.encryption = {
    algorithm: 'AES-256-GCM',
    ephemeral_public_key: ephemeralPublicKey.toString('base64'),
    iv: iv.toString('base64'),
    auth_tag: encryptor.finish().toString('base64'),
  };
  change(document);
  return signedSource(Buffer.from(JSON.stringify(document, null, 2)), payload);
}

/** An envelope with these files in its payload, metadata.json in front. */
export function sealEntries(entries: readonly RawEntry[]): EnvelopeSource {
  return sealTar(tarOf([METADATA, ...entries]));
}

/** The manifest of an honest envelope, without the sender's assertion. */
export function unsignedManifest(): ManifestJson {
  const document = JSON.parse(honest.sealed.manifest.toString());
  delete document.sender.assertion;
  return document;
}

export function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
