/**
 * Sealed envelopes as folders `sealed/<id>.JMIX`, which come into being whole; and envelopes within envelopes, for a hub
 * that shall learn only whom to pass them on to. A folder gets its name once: what another run has sealed under it stays,
 * and whoever comes later takes it as it is.
 */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { DIALECT_OF } from '../jmix/dialect.js';
import { sha256Hex } from '../jmix/digest.js';
import { envelopeArchiveSize, openEnvelopeArchive } from '../jmix/envelope-archive.js';
import { AUDIT_FILE, MANIFEST_FILE, MANIFEST_JWS } from '../jmix/envelope-names.js';
import { createFileSink } from '../jmix/file-sink.js';
import { type PayloadFile, type SealedEnvelope, type SealRequest, sealEnvelope } from '../jmix/seal.js';
import type { SignedEnvelope } from '../jmix/signed-manifest.js';
import { isErrno, syncFolder } from './atomic.js';
import { placeFolder } from './envelope-store.js';
import type { Layout } from './layout.js';
import { openScratch, type ScratchFolder } from './scratch.js';

/**
 * Seals to `sealed/<id>.JMIX`; commit point: the rename.
 * @returns what was sealed, which is not what lies there when another run was faster
 * @throws what `sealEnvelope` throws, SPOOL_WRITE_FAILED
 */
export async function sealToFolder(
  layout: Layout,
  request: Omit<SealRequest, 'payloadSink'>,
  commit: CommitFolder = placeFolder,
): Promise<SealedEnvelope> {
  const { sealedFileName } = DIALECT_OF[request.dialect ?? 'canon'];
  const fill = (payloadSink: Writable) => sealEnvelope({ ...request, payloadSink });
  return growSealedFolder(layout, request.id, sealedFileName, fill, commit);
}

/** Gives a folder that has grown its name, or takes it over. */
export type CommitFolder = (from: ScratchFolder, to: string) => Promise<unknown>;

/**
 * The folder `sealed/<id>.JMIX` around a payload that is sealed in whatever way; commit point: the rename.
 * @param fill writes the payload into the sink, and gives the documents that stand beside it
 * @throws what `fill` throws, SPOOL_WRITE_FAILED
 */
export async function growSealedFolder<T extends SignedEnvelope>(
  layout: Layout,
  id: EnvelopeId,
  payloadName: string,
  fill: (payloadSink: Writable) => Promise<T>,
  commit: CommitFolder = placeFolder,
): Promise<T> {
  const folder = await openScratch(layout, 'seal');
  try {
    const sealed = await fill(createFileSink(join(folder.path, payloadName)));
    await writeFile(join(folder.path, MANIFEST_FILE), sealed.manifest, { mode: 0o600 });
    await writeFile(join(folder.path, MANIFEST_JWS), sealed.jws, { mode: 0o600 });
    await writeFile(join(folder.path, AUDIT_FILE), sealed.audit, { mode: 0o600 });
    await commit(folder, layout.sealedEnvelope(id));
    return sealed;
  } catch (error) {
    const told = await folder.judge(error);
    await folder.remove();
    throw told;
  }
}

/** An envelope as it travels. */
export interface Travelling {
  readonly id: EnvelopeId;
  readonly manifestSha256: string;
}

/** The envelope that lies in `sealed/` under this id; undefined when there is none. */
export async function findSealed(layout: Layout, id: EnvelopeId): Promise<Travelling | undefined> {
  try {
    const manifest = await readFile(join(layout.sealedEnvelope(id), MANIFEST_FILE));
    // Whoever gave it its name may have died before that was durable.
    await syncFolder(layout.sealed);
    return { id, manifestSha256: sha256Hex(manifest) };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The same where there must be one. @throws SPOOL_CORRUPT */
export async function readSealed(layout: Layout, id: EnvelopeId): Promise<Travelling> {
  const found = await findSealed(layout, id);
  if (found === undefined) throw new GatewayError('SPOOL_CORRUPT', 'a sealed envelope has disappeared');
  return found;
}

/**
 * Seals the envelope `sealed/<inner>.JMIX` into one for a hub. Its id follows from the inner one's, so that a repeated
 * run takes what an earlier one left.
 * @param round 0 for the first; a hub takes an id once, so what is sent to it again needs another
 * @param request what the outer envelope says: sender, the hub as its only recipient, the key to sign with
 */
export async function sealAround(
  layout: Layout,
  inner: EnvelopeId,
  round: number,
  request: Pick<SealRequest, 'createdAtMs' | 'sender' | 'recipients' | 'signingKey' | 'signal'>,
): Promise<Travelling> {
  const id = outerIdOf(inner, round);
  const before = await findSealed(layout, id);
  if (before !== undefined) return before;
  const folder = layout.sealedEnvelope(inner);
  const file: PayloadFile = {
    name: `files/${inner}.JMIX.tar`,
    sizeBytes: await envelopeArchiveSize(folder),
    open: async function* () {
      yield* (await openEnvelopeArchive(folder)).stream as AsyncIterable<Buffer>;
    },
  };
  await sealToFolder(layout, {
    ...request,
    id,
    // JMIX has no envelope without a patient; here there is none.
    metadata: { patient: { id: 'none' } },
    files: [file],
  });
  return readSealed(layout, id);
}

/** The id of the envelope that `sealAround` makes. */
export function outerIdOf(inner: EnvelopeId, round: number): EnvelopeId {
  return derivedId(inner, round === 0 ? 'outer' : `outer ${round}`);
}

/** An id that follows from another one: always the same, and not to be guessed without it (RFC 9562 §5.8). */
export function derivedId(from: EnvelopeId, purpose: string): EnvelopeId {
  const bytes = createHash('sha256').update(`drawbridge ${purpose} ${from}`).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return parseEnvelopeId(
    [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-'),
  );
}
