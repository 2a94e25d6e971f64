/**
 * Takes an envelope out of a shared folder. The claim is a rename, which exactly one of all who try can win, and which
 * every file system has, SMB shares included; links and locks are not to be had everywhere.
 */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, mkdir, open, rename, truncate, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { EnvelopeId } from '../../domain/envelope-id.js';
import { GatewayError } from '../../errors/gateway-error.js';
import { archiveName, archiveNames, claimName, refusedName } from '../exchange-names.js';
import type { TakeOptions, WaitingEnvelope } from '../transport.js';
import { classifyFolderError, classifyOwnFileError, errnoOf } from './classify.js';
import { createFileSink } from './file-sink.js';
import { exchangeEntries, fileAt, syncNames } from './place.js';
import { DONE_FOLDER } from './probe.js';

const READ_CHUNK_BYTES = 256 * 1024;

/** `folder` has been entered. @throws what `take` of the port throws */
export async function takeFromFolder(
  folder: string,
  claimer: string,
  envelope: WaitingEnvelope,
  file: string,
  options: TakeOptions,
): Promise<void> {
  const claim = await claimEnvelope(folder, claimer, envelope);
  const source = await open(claim, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const before = await source.stat();
    assertSize(before, envelope);
    await copyMissing(source, file, envelope.sizeBytes, options);
    if ((await source.stat()).mtimeMs !== before.mtimeMs) await discard(file);
  } finally {
    await source.close();
  }
}

/**
 * Ends a claim of this bridge; harmless when there is none. What was taken is removed or moved into the folder of what
 * is done, which is made when it is missing; an older file of the same name there is replaced.
 */
export async function endClaim(
  folder: string,
  claimer: string,
  id: EnvelopeId,
  end: 'delete' | 'move' | 'refuse',
): Promise<void> {
  const claim = join(folder, claimName(id, claimer));
  if ((await fileAt(claim)) === undefined) return;
  try {
    if (end === 'delete') await unlink(claim);
    else if (end === 'refuse') await rename(claim, join(folder, refusedName(id)));
    else {
      const done = join(folder, DONE_FOLDER);
      await mkdir(done).catch(ignore('EEXIST'));
      await rename(claim, join(done, archiveName(id)));
      await syncNames(done);
    }
  } catch (error) {
    ignore('ENOENT')(error);
  }
  await syncNames(folder);
}

/** The path of the claimed file, be it claimed now or by an earlier attempt. */
async function claimEnvelope(folder: string, claimer: string, envelope: WaitingEnvelope): Promise<string> {
  const { id } = envelope;
  const claim = join(folder, claimName(id, claimer));
  if ((await fileAt(claim)) !== undefined) return claim;
  for (const name of archiveNames(id)) {
    const waiting = join(folder, name);
    const found = await fileAt(waiting);
    if (found === undefined) continue;
    // Somebody may be copying into it again: better not to take it away from them.
    assertSize(found, envelope);
    await rename(waiting, claim).catch(ignore('ENOENT'));
    await syncNames(folder);
    // Looked at even after ENOENT: a share that repeats a lost call reports the success of the first one as that.
    if ((await fileAt(claim)) !== undefined) return claim;
  }
  const entries = await exchangeEntries(folder);
  if (entries.some((entry) => entry.id === id && entry.state === 'claimed')) {
    throw new GatewayError('ENVELOPE_CLAIMED', 'another bridge is taking the envelope');
  }
  throw new GatewayError('ENVELOPE_NOT_FOUND', 'the envelope is not in the folder any more');
}

function assertSize(found: Stats, { sizeBytes }: WaitingEnvelope): void {
  if (found.size === sizeBytes) return;
  throw new GatewayError(
    'ENVELOPE_INCOMPLETE',
    `the file in the folder has ${found.size} bytes, ${sizeBytes} were announced`,
  );
}

async function copyMissing(
  source: FileHandle,
  file: string,
  sizeBytes: number,
  { signal, onBytes, pace }: TakeOptions,
): Promise<void> {
  const target = await onOwnFile(open(file, constants.O_WRONLY | constants.O_CREAT, 0o600));
  try {
    let at = (await onOwnFile(target.stat())).size;
    if (at > sizeBytes) {
      await onOwnFile(target.truncate(0));
      at = 0;
    }
    if (at < sizeBytes) {
      const range = { start: at, end: sizeBytes - 1, highWaterMark: READ_CHUNK_BYTES, autoClose: false };
      const sink = createFileSink(target, {
        position: at,
        onBytes(count) {
          at += count;
          onBytes?.(count);
        },
        classify: classifyOwnFileError,
      });
      await pipeline(source.createReadStream(range), pace?.limiter() ?? new PassThrough(), sink, { signal });
    }
    if (at !== sizeBytes) {
      const text = `the file in the folder ended after ${at} bytes, ${sizeBytes} were announced`;
      throw new GatewayError('ENVELOPE_INCOMPLETE', text);
    }
  } catch (error) {
    throw classifyFolderError(error, signal);
  } finally {
    await target.close();
  }
}

/** Whoever was copying it by hand has gone on under its new name, so that nobody knows what was read. */
async function discard(file: string): Promise<never> {
  await onOwnFile(truncate(file, 0));
  throw new GatewayError('ENVELOPE_INCOMPLETE', 'the file in the folder was written to while it was read');
}

function onOwnFile<T>(work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    throw classifyOwnFileError(error);
  });
}

function ignore(errno: string): (error: unknown) => void {
  return (error) => {
    if (errnoOf(error) !== errno) throw error;
  };
}
