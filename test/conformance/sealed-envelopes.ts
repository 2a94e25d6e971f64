/** Real sealed envelopes of any size, made on the spot, for everything that moves them about. */
import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import { openEnvelopeArchive } from '../../src/jmix/envelope-archive.js';
import {
  AUDIT_FILE,
  envelopeFolderName,
  MANIFEST_FILE,
  MANIFEST_JWS,
  SEALED_PAYLOAD,
} from '../../src/jmix/envelope-names.js';
import { sealEnvelope } from '../../src/jmix/seal.js';
import type { OutgoingEnvelope } from '../../src/transport/transport.js';
import { RECEIVER, RECIPIENT, SENDER, sealRequest } from '../unit/jmix/support/sealing.js';

export interface EnvelopeChoice {
  /** Size of the one file in its payload, 0 or more; the archive is some kilobytes larger. */
  readonly bytes: number;
  /** A new one when absent. */
  readonly id?: EnvelopeId;
  /** `org:a` when absent. */
  readonly senderId?: string;
  /** `org:b` when absent. */
  readonly receiverId?: string;
}

const PIECE = Buffer.alloc(1024 * 1024, 'not really DICOM ');

/** Seals an envelope into `<folder>/<id>.JMIX`, which must not be there yet; `folder` is made where it is missing. */
export async function makeSealedEnvelope(folder: string, choice: EnvelopeChoice): Promise<OutgoingEnvelope> {
  const id = choice.id ?? parseEnvelopeId(randomUUID());
  await mkdir(folder, { recursive: true });
  const path = join(folder, envelopeFolderName(id));
  await mkdir(path);
  const sealed = await sealEnvelope(
    sealRequest({
      id,
      sender: { ...SENDER, id: choice.senderId ?? SENDER.id },
      recipients: [
        { entity: { ...RECEIVER, id: choice.receiverId ?? RECEIVER.id }, key: RECIPIENT.publicKey },
      ],
      files: [{ name: 'dicom/1.2.3.dcm', sizeBytes: choice.bytes, open: () => someBytes(choice.bytes) }],
      payloadSink: createWriteStream(join(path, SEALED_PAYLOAD), { flags: 'wx' }),
    }),
  );
  await writeFile(join(path, MANIFEST_FILE), sealed.manifest);
  await writeFile(join(path, MANIFEST_JWS), sealed.jws);
  await writeFile(join(path, AUDIT_FILE), sealed.audit);
  const manifestSha256 = createHash('sha256').update(sealed.manifest).digest('hex');
  return { id, folder: path, manifestSha256 };
}

/** The envelope's whole archive, in memory. */
export async function archiveOf(envelope: OutgoingEnvelope): Promise<Buffer> {
  const { stream } = await openEnvelopeArchive(envelope.folder);
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* someBytes(count: number): AsyncGenerator<Buffer, void, undefined> {
  for (let left = count; left > 0; left -= PIECE.length) yield PIECE.subarray(0, left);
}
