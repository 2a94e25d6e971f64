/**
 * Puts an envelope into a shared folder: part file → fsync → final name. A part file of an earlier attempt is gone on
 * with, but only behind what was certainly synced: a disk pulled out in the middle of a copy may have kept the size of a
 * file and lost its bytes.
 *
 * A part file is never made shorter while it begins like this envelope. Should two processes put the same one at a time,
 * they write the same bytes to the same places, and neither can leave a gap in what the other finishes.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GatewayError } from '../../errors/gateway-error.js';
import { classifyEnvelopeError } from '../../jmix/classify.js';
import {
  type ArchiveMediaType,
  envelopeMediaType,
  openEnvelopeArchive,
} from '../../jmix/envelope-archive.js';
import { archiveName, partName } from '../exchange-names.js';
import type { OutgoingEnvelope, PutOptions } from '../transport.js';
import { classifyFolderError, errnoOf } from './classify.js';
import { createFileSink } from './file-sink.js';
import { fileAt, syncNames } from './place.js';
import { type ArchiveMark, beginsLike, markOf, probeFolder } from './probe.js';

/** The part file is synced every so many bytes, and not a byte is written behind them before that. */
const SYNC_STEP_BYTES = 8 * 1024 * 1024;

/** Refusals of a rename that come before anything is done; after any other, a share may have done it all the same. */
const CERTAINLY_NOT = new Set(['ENOENT', 'EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'EBUSY']);

/** `folder` has been entered. @throws what `put` of the port throws */
export async function putIntoFolder(
  folder: string,
  envelope: OutgoingEnvelope,
  options: PutOptions,
): Promise<void> {
  const mark = await markOf(envelope);
  if (await isThere(folder, envelope, mark)) return;
  const mediaType = await envelopeMediaType(envelope.folder);
  const part = join(folder, partName(envelope.id, mediaType));
  await writePart(part, envelope, mark, options);
  options.signal.throwIfAborted();
  await giveFinalName(folder, part, mediaType, envelope, mark);
}

/** @throws ENVELOPE_EXISTS */
async function isThere(folder: string, envelope: OutgoingEnvelope, mark: ArchiveMark): Promise<boolean> {
  const found = await probeFolder(folder, envelope, async () => mark);
  if (found === 'other') {
    throw new GatewayError('ENVELOPE_EXISTS', 'another envelope lies in the folder under this id');
  }
  return found === 'same';
}

async function writePart(
  path: string,
  envelope: OutgoingEnvelope,
  mark: ArchiveMark,
  options: PutOptions,
): Promise<void> {
  // Whoever reads the folder may be another user; a link planted under the name is not written through.
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = await open(path, flags, 0o666);
  try {
    const offset = await syncedBytes(handle, mark);
    if (offset > 0) options.onResume?.(offset);
    await sendBehind(offset, handle, envelope, options);
    await options.onSent?.();
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** How much of the part file is there for certain; it is emptied when it is not the beginning of this envelope. */
async function syncedBytes(handle: FileHandle, mark: ArchiveMark): Promise<number> {
  const { size } = await handle.stat();
  if (size > mark.sizeBytes || !(await beginsLike(handle, mark))) {
    await handle.truncate(0);
    return 0;
  }
  return Math.floor(Math.max(size - 1, 0) / SYNC_STEP_BYTES) * SYNC_STEP_BYTES;
}

async function sendBehind(
  offset: number,
  handle: FileHandle,
  envelope: OutgoingEnvelope,
  { signal, onBytes, pace }: PutOptions,
): Promise<void> {
  const sink = createFileSink(handle, {
    position: offset,
    syncEveryBytes: SYNC_STEP_BYTES,
    ...(onBytes === undefined ? {} : { onBytes }),
    classify: (error) => classifyFolderError(error, signal),
  });
  const { stream } = await openEnvelopeArchive(envelope.folder, offset);
  try {
    await pipeline(stream, pace?.limiter() ?? new PassThrough(), sink, { signal });
  } catch (error) {
    // What the folder did is classified; what is left is our own reading, or the abort.
    throw classifyEnvelopeError(error, signal);
  }
}

/** A rename replaces what stands there, so that is looked at once more, however unlikely. */
async function giveFinalName(
  folder: string,
  part: string,
  mediaType: ArchiveMediaType,
  envelope: OutgoingEnvelope,
  mark: ArchiveMark,
): Promise<void> {
  const final = join(folder, archiveName(envelope.id, mediaType));
  if ((await fileAt(final)) !== undefined && (await isThere(folder, envelope, mark))) return;
  try {
    await rename(part, final);
  } catch (error) {
    // The part file has gone: it has its final name from another process of ours.
    if (errnoOf(error) === 'ENOENT' && (await isThere(folder, envelope, mark))) return;
    throw CERTAINLY_NOT.has(errnoOf(error)) ? error : unconfirmed(error);
  }
  await syncNames(folder).catch((error: unknown) => {
    throw unconfirmed(error);
  });
}

function unconfirmed(error: unknown): GatewayError {
  const errno = errnoOf(error);
  return new GatewayError('SHIP_UNCONFIRMED', `the folder did not confirm the final name: ${errno}`, {
    cause: error,
    facts: { errno },
  });
}
