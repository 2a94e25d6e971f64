/**
 * Envelopes that come as one OpenPGP message. The message lies in the inbox as it came, with copies of the manifest, its
 * signature and the audit trail, which hold nothing of a patient; what it hides is decrypted into scratch when it is
 * opened, and gone again when it is staged. The OpenPGP signature is over all of it, so a manifest within needs none of
 * its own; one that is there must be good.
 *
 * A message is decrypted twice: at its arrival for the manifest, since nobody else knows for whom and from whom it is,
 * and to be opened.
 */
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Reception } from '../domain/reception.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { UnpackOptions } from '../jmix/envelope-archive.js';
import { type EnvelopeSource, openEnvelopeFolder } from '../jmix/envelope-folder.js';
import { AUDIT_FILE, MANIFEST_FILE, MANIFEST_JWS, OPENPGP_MESSAGE } from '../jmix/envelope-names.js';
import { readManifest } from '../jmix/manifest.js';
import type { OpenedEnvelope } from '../jmix/open.js';
import { pipeInto } from '../jmix/pipe-into.js';
import type { Trust } from '../jmix/signatures.js';
import type { Signature } from '../openpgp/decrypt.js';
import { signerOf } from '../openpgp/signer.js';
import { unpackMessage } from '../openpgp/unpack-message.js';
import { inScratch } from '../spool/scratch.js';
import { type InboundParts, MAX_ENTRIES } from './parts.js';

/** What may be kept in the clear: none of it tells of a patient. */
const DOCUMENTS: readonly string[] = [MANIFEST_FILE, MANIFEST_JWS, AUDIT_FILE];

/** Whether what lies in an envelope folder is a message with the whole envelope within. */
export function isOpenpgpMessage({ payload }: EnvelopeSource): boolean {
  return payload.kind === 'sealed' && payload.name === OPENPGP_MESSAGE;
}

/**
 * Writes a message that arrives into `folder`, and beside it the documents from within. Whose signature it bears is not
 * looked at here.
 * @throws PAYLOAD_DECRYPT_FAILED, ENVELOPE_MALFORMED when it holds no envelope, and what unpacking and GnuPG throw
 */
export async function receiveOpenpgp(
  parts: InboundParts,
  body: Readable,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const path = join(folder, OPENPGP_MESSAGE);
  const sink = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  await pipeInto(withLimit(body, parts.maxEnvelopeBytes), sink, signal);
  await unpack(parts, path, folder, { signal, keep: (name) => DOCUMENTS.includes(name) });
}

/**
 * Opens what a message holds, if a key pinned for its sender has signed it.
 * @param open opens an envelope folder that is in the clear
 * @throws SIGNER_NOT_PINNED, ASSERTION_INVALID, ASSERTION_EXPIRED, KEY_REVOKED, and what `receiveOpenpgp` and `open` throw
 */
export async function openOpenpgp(
  parts: InboundParts,
  { id, senderId, manifestSha256 }: Reception,
  signal: AbortSignal,
  open: (source: EnvelopeSource, trust: Trust) => Promise<OpenedEnvelope>,
): Promise<OpenedEnvelope> {
  const peer = parts.peers.get(senderId);
  return inScratch(parts.layout, 'openpgp', async (folder) => {
    const path = join(parts.layout.inboxEnvelope(id), OPENPGP_MESSAGE);
    const signatures = await unpack(parts, path, folder.path, { signal });
    const signer = signerOf(signatures, {
      pinned: peer?.openpgpFingerprints ?? [],
      allowUnsigned: peer?.allowUnsigned ?? false,
    });
    const source = await openEnvelopeFolder(folder.path);
    // The pins are those of the sender that the record names.
    if (readManifest(source.manifest).sha256 !== manifestSha256) {
      throw new GatewayError('SPOOL_CORRUPT', 'the message in the inbox is not the one that was received');
    }
    const opened = await open(source, { kind: 'allow-unsigned', keys: peer?.signingKeys ?? [] });
    return signer === undefined ? opened : { ...opened, signedBy: `OpenPGP ${signer}` };
  });
}

function unpack(
  parts: InboundParts,
  path: string,
  folder: string,
  options: Omit<UnpackOptions, 'scratchFile'>,
): Promise<readonly Signature[]> {
  const limits = { maxBytes: parts.maxEnvelopeBytes, maxEntries: MAX_ENTRIES };
  return unpackMessage(parts.openpgp, path, folder, limits, options);
}

async function* withLimit(source: Readable, maxBytes: number): AsyncGenerator<Buffer, void, undefined> {
  let bytes = 0;
  for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new GatewayError('ENVELOPE_TOO_LARGE', `the message is larger than ${maxBytes} bytes`, {
        facts: { maxBytes },
      });
    }
    yield chunk;
  }
}
