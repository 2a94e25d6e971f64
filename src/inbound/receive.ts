/**
 * receive: an archive, uploaded or fetched → the inbox. Commit point: the reception record, written when the envelope is durable
 * under its name; only then may the sender hear 201. What is checked here is what the sender can mend at once: the
 * archive, the manifest, the address. Signatures and payload are checked by `open`, and a failure there is told by a
 * refusal receipt. One that failed there for want of a signature that counts makes room for another under its id
 * (give-way.ts).
 */
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Reception } from '../domain/reception.js';
import { GatewayError, isGatewayError } from '../errors/gateway-error.js';
import {
  type ArchiveMediaType,
  detectMediaType,
  MAGIC_BYTES,
  OPENPGP_MEDIA_TYPE,
} from '../jmix/archive-media-type.js';
import { classifyEnvelopeError } from '../jmix/classify.js';
import { sha256Hex } from '../jmix/digest.js';
import { type ArchivedFile, unpackEnvelopeArchive } from '../jmix/envelope-archive.js';
import { type EnvelopeSource, openEnvelopeFolder } from '../jmix/envelope-folder.js';
import { SEALED_PAYLOADS, ZIP_MEANWHILE } from '../jmix/envelope-names.js';
import { type Manifest, readManifest } from '../jmix/manifest.js';
import { peekHead } from '../jmix/stream-head.js';
import { writeArriving } from '../spool/arriving-file.js';
import { classifyDiskError } from '../spool/atomic.js';
import { promoteFolder } from '../spool/envelope-store.js';
import { inScratch, type ScratchFolder } from '../spool/scratch.js';
import { givesWay, keepDocuments, replaceReception, setAside } from './give-way.js';
import { type OpenedAhead, type OpeningAhead, openAhead } from './open-ahead.js';
import { enqueueNext, type InboundParts, MAX_ENTRIES } from './parts.js';
import { remind } from './remind.js';
import { receiveOpenpgp } from './unseal-openpgp.js';

/** What is smaller is opened soon enough when it is here. */
const LARGE_BYTES = 1024 * 1024;

/** The peer that brings an archive, known by its certificate; or the exchange that it was taken from. */
export type Origin =
  | { readonly peerId: string }
  | { readonly exchange: string; readonly id: EnvelopeId; readonly archiveBytes: number };

export interface Upload {
  readonly from: Origin;
  readonly body: Readable;
  /** As it was announced; an OpenPGP message is known by its first bytes. */
  readonly mediaType: ArchiveMediaType;
  readonly signal: AbortSignal;
}

export interface Received {
  readonly id: EnvelopeId;
  /** False for the same envelope again. */
  readonly created: boolean;
}

/** @returns the function that takes uploads; one at a time for each envelope id */
export function createReceiver(parts: InboundParts): (upload: Upload) => Promise<Received> {
  const committing = new Map<EnvelopeId, Promise<unknown>>();

  /**
   * @throws ENVELOPE_MALFORMED, MANIFEST_INVALID, ARCHIVE_UNSAFE, ENVELOPE_TOO_LARGE, RECIPIENT_MISMATCH,
   *   ENVELOPE_EXISTS, SPOOL_WRITE_FAILED, CANCELLED; for an OpenPGP message also PAYLOAD_DECRYPT_FAILED, KEY_LOCKED,
   *   OPENPGP_UNAVAILABLE
   */
  return (upload) =>
    inScratch(parts.layout, 'receive', async (folder) => {
      let ahead: OpeningAhead | undefined;
      try {
        await unpack(parts, upload, folder.path, (payload) => {
          ahead ??= openAhead(parts, folder.path, payload, upload.signal);
          return ahead;
        });
        const source = await openEnvelopeFolder(folder.path, { inSpool: true });
        const manifest = readManifest(source.manifest);
        assertAddressedTo(parts.site.id, manifest);
        if ('id' in upload.from && upload.from.id !== manifest.id) {
          throw new GatewayError(
            'ENVELOPE_MALFORMED',
            'the archive is named after another envelope than it holds',
          );
        }
        const opened = await ahead?.opened(source);
        while (committing.has(manifest.id)) await committing.get(manifest.id)?.catch(() => undefined);
        const work = commit(parts, upload, folder, source, manifest, opened);
        committing.set(manifest.id, work);
        try {
          return await work;
        } finally {
          committing.delete(manifest.id);
        }
      } finally {
        await ahead?.close();
      }
    });
}

/** @param watch who looks at a sealed payload on its way */
async function unpack(
  parts: InboundParts,
  upload: Upload,
  folder: string,
  watch: (payload: ArchivedFile) => Pick<OpeningAhead, 'show'>,
): Promise<void> {
  const { body, signal } = upload;
  const { head, stream } = await peekHead(body, MAGIC_BYTES).catch((error: unknown) => {
    throw classifyEnvelopeError(error, signal);
  });
  if (detectMediaType(head) === OPENPGP_MEDIA_TYPE) {
    await receiveOpenpgp(parts, stream, folder, signal);
    return;
  }
  const limits = { maxBytes: parts.maxEnvelopeBytes, maxEntries: MAX_ENTRIES };
  await unpackEnvelopeArchive(stream, upload.mediaType, folder, limits, {
    signal,
    scratchFile: join(folder, ZIP_MEANWHILE),
    write(file, path) {
      if (!SEALED_PAYLOADS.includes(file.name) || file.sizeBytes < LARGE_BYTES) return undefined;
      return writeArriving(path, file.body(), watch(file).show);
    },
  });
}

function assertAddressedTo(siteId: string, manifest: Manifest): void {
  if (manifest.receivers.some((receiver) => receiver.id === siteId)) return;
  throw new GatewayError('RECIPIENT_MISMATCH', `the envelope is not addressed to ${siteId}`);
}

async function commit(
  parts: InboundParts,
  { from }: Upload,
  folder: ScratchFolder,
  source: EnvelopeSource,
  manifest: Manifest,
  opened: OpenedAhead | undefined,
): Promise<Received> {
  const { id } = manifest;
  const manifestSha256 = sha256Hex(source.manifest);
  const known = await parts.receptions.read(id);
  if (known !== undefined) {
    if (known.manifestSha256 === manifestSha256) {
      // Who uploads it himself asks for the receipt himself.
      if ('exchange' in from) await remind(parts, id);
      return { id, created: false };
    }
    if (!givesWay(known)) throw taken();
    await setAside(parts, known);
  }
  let reception: Reception = {
    id,
    revision: 1,
    senderId: manifest.sender.id,
    senderName: parts.peers.get(manifest.sender.id)?.name ?? manifest.sender.id,
    ...('peerId' in from
      ? { fromPeerId: from.peerId }
      : { takenFrom: { exchange: from.exchange, archiveBytes: from.archiveBytes } }),
    manifestSha256,
    sizeBytes: source.payload.kind === 'sealed' ? source.payload.sizeBytes : 0,
    receivedAtMs: parts.clock.now(),
    progress: 'received',
    pacs: {},
    steps: [],
  };
  try {
    await promoteFolder(parts.layout, folder, parts.layout.inboxEnvelope(id));
    await keepDocuments(parts, id, source);
    if (known === undefined) reception = await create(parts, reception, opened);
    else if (!(await replaceReception(parts, known, reception))) throw taken();
  } catch (error) {
    throw isGatewayError(error) ? error : classifyDiskError(error);
  }
  parts.log.info({
    event: 'envelope.received',
    reception: id,
    ...('peerId' in from ? { peer: from.peerId } : { exchange: from.exchange }),
    bytes: reception.sizeBytes,
  });
  // The envelope is ours now, whether or not Redis is there: the job is derived from the record again.
  await enqueueNext(parts, reception).catch((error: unknown) => {
    parts.log.warn({ event: 'queue.add_failed', reception: id, reason: String(error) });
  });
  return { id, created: true };
}

/** The commit point; with what was opened on the way here, if there is that. */
async function create(
  parts: InboundParts,
  reception: Reception,
  opened: OpenedAhead | undefined,
): Promise<Reception> {
  const record = (await opened?.place(reception)) ?? reception;
  await parts.receptions.create(record);
  return record;
}

function taken(): GatewayError {
  return new GatewayError('ENVELOPE_EXISTS', 'another envelope was received before under this id');
}
