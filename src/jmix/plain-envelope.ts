/**
 * A signed JMIX envelope that is not sealed, as one tar: for those who seal the whole of it another way. What the
 * payload's hash takes comes while the files stream past, so the payload comes first in the archive, manifest.json and
 * manifest.jws last; readers take any order. Nothing of the study is held in memory or on a disk. Whoever gets the tar
 * reads the patient's data in it: it goes nowhere but into a cipher.
 */
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../errors/gateway-error.js';
import { classifyEnvelopeError } from './classify.js';
import { CANON } from './dialect.js';
import { formatPayloadHash } from './digest.js';
import { AUDIT_FILE, MANIFEST_FILE, MANIFEST_JWS, PLAIN_PAYLOAD } from './envelope-names.js';
import { gathered } from './gathered.js';
import type { Entity } from './manifest.js';
import { formatMetadata } from './metadata.js';
import { assertPayloadFiles, type PayloadFile, payloadContents } from './payload-files.js';
import { treeLinesHash } from './payload-hash.js';
import { writeTarFiles } from './payload-tar.js';
import { destroyed } from './pipe-into.js';
import {
  assertManifest,
  type EnvelopeContents,
  type SignedEnvelope,
  signedManifest,
} from './signed-manifest.js';
import { TAR_END_BYTES } from './tar-header.js';

export interface PlainEnvelopeRequest extends EnvelopeContents {
  /** At least one. */
  readonly receivers: readonly Entity[];
  readonly files: readonly PayloadFile[];
  /** Takes the tar; is ended on success, destroyed on failure. */
  readonly archiveSink: Writable;
  readonly signal?: AbortSignal;
  /** Called with the bytes of the archive so far. */
  readonly onProgress?: (bytes: number) => void;
}

export interface PlainEnvelope extends SignedEnvelope {
  readonly archiveSizeBytes: number;
}

/**
 * Writes the envelope into the sink, in the canonical profile. May be called again with a fresh sink.
 * @throws METADATA_INVALID, MANIFEST_INVALID when what the caller gave does not make valid documents; ARCHIVE_UNSAFE on
 *   names a payload must not hold; SPOOL_CORRUPT when a file has another size than announced; SPOOL_WRITE_FAILED;
 *   CANCELLED on abort. On any of them the sink's bytes are worthless.
 */
export async function plainEnvelope(request: PlainEnvelopeRequest): Promise<PlainEnvelope> {
  try {
    return await write(request);
  } catch (error) {
    await destroyed(request.archiveSink);
    throw classifyEnvelopeError(error, request.signal);
  }
}

async function write(request: PlainEnvelopeRequest): Promise<PlainEnvelope> {
  const { archiveSink, signal, onProgress } = request;
  assertManifest(request, request.receivers, CANON);
  assertPayloadFiles(request.files, request.metadata);
  const metadata = formatMetadata(request.metadata, request.id, request.createdAtMs, CANON);
  const payload = payloadContents(request.files, metadata, CANON);

  let signed: SignedEnvelope | undefined;
  const archive = async function* (): AsyncGenerator<Buffer, void, undefined> {
    yield* writeTarFiles(payload.files, `${PLAIN_PAYLOAD}/`);
    const payloadHash = formatPayloadHash(treeLinesHash(payload.all(), foldersOf(payload.files)));
    const facts = { receivers: request.receivers, payloadHash };
    signed = { ...signedManifest(request, facts, CANON), payloadHash, files: payload.listed() };
    const documents = [
      { name: AUDIT_FILE, bytes: signed.audit },
      { name: MANIFEST_FILE, bytes: signed.manifest },
      { name: MANIFEST_JWS, bytes: signed.jws },
    ];
    yield* writeTarFiles(
      documents.map(({ name, bytes }) => ({ name, sizeBytes: bytes.length, open: () => [bytes] })),
      '',
    );
    yield Buffer.alloc(TAR_END_BYTES);
  };
  let archiveSizeBytes = 0;
  const counted = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    for await (const piece of source) {
      archiveSizeBytes += piece.length;
      yield piece;
      onProgress?.(archiveSizeBytes);
    }
  };
  const pieces = Readable.from(gathered(archive()), { highWaterMark: 1 });
  await pipeline(pieces, counted, archiveSink, signal === undefined ? {} : { signal });
  if (signed === undefined) throw new GatewayError('FAULT', 'an archive ended without its manifest');
  return { ...signed, archiveSizeBytes };
}

/** Every folder that a file lies in, payload-relative, each once. */
function foldersOf(files: readonly { readonly name: string }[]): readonly string[] {
  const folders = new Set<string>();
  for (const { name } of files) {
    for (let end = name.indexOf('/'); end >= 0; end = name.indexOf('/', end + 1)) {
      folders.add(name.slice(0, end));
    }
  }
  return [...folders];
}
