/**
 * Whether a file in a shared folder is a given envelope. The head of the archive decides, together with its size: the
 * manifest stands there, which names the hash of the payload.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { classifyEnvelopeError } from '../../jmix/classify.js';
import {
  envelopeMediaType,
  listEnvelope,
  OPENPGP_MEDIA_TYPE,
  openEnvelopeArchive,
} from '../../jmix/envelope-archive.js';
import { archiveName, archiveNames } from '../exchange-names.js';
import type { OutgoingEnvelope, Probe } from '../transport.js';
import { errnoOf } from './classify.js';
import { exchangeEntries, fileAt } from './place.js';

/** The folder below an inbox that taken envelopes are moved into. */
export const DONE_FOLDER = 'done';

const TAR_HEADER_BYTES = 512;
/** No two OpenPGP messages begin alike: the session key comes first. */
const MESSAGE_HEAD_BYTES = 512;

const NOTHING_THERE = new Set(['ENOENT', 'ENOTDIR']);

/** What tells one envelope's archive from another's. */
export interface ArchiveMark {
  /** Of the whole archive. */
  readonly sizeBytes: number;
  /** Its first bytes: manifest.json with its tar header; of an OpenPGP message, the session key. */
  readonly head: Buffer;
}

/** @throws ENVELOPE_MALFORMED when the folder holds no envelope; FAULT when it cannot be read */
export async function markOf(envelope: OutgoingEnvelope): Promise<ArchiveMark> {
  try {
    const headBytes = await headBytesOf(envelope.folder);
    const { sizeBytes, stream } = await openEnvelopeArchive(envelope.folder);
    const chunks: Buffer[] = [];
    let read = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      read += chunk.length;
      if (read >= headBytes) break;
    }
    return { sizeBytes, head: Buffer.concat(chunks).subarray(0, headBytes) };
  } catch (error) {
    throw classifyEnvelopeError(error);
  }
}

async function headBytesOf(folder: string): Promise<number> {
  if ((await envelopeMediaType(folder)) === OPENPGP_MEDIA_TYPE) return MESSAGE_HEAD_BYTES;
  const [manifest] = await listEnvelope(folder);
  return TAR_HEADER_BYTES + (manifest?.sizeBytes ?? 0);
}

/**
 * Looks where an envelope may be on its way through the folder, in the order of that way, so that one that moves on
 * meanwhile is not missed: waiting, claimed, done.
 * @param markOfOurs asked for when something is there to be compared
 */
export async function probeFolder(
  folder: string,
  envelope: Pick<OutgoingEnvelope, 'id'>,
  markOfOurs: () => Promise<ArchiveMark>,
): Promise<Probe> {
  const waiting = archiveNames(envelope.id).map((name) => join(folder, name));
  const claims = async () => {
    const entries = await exchangeEntries(folder);
    const own = entries.filter(({ id, state }) => id === envelope.id && state === 'claimed');
    return own.map(({ name }) => join(folder, name));
  };
  const done = join(folder, DONE_FOLDER, archiveName(envelope.id));
  for (const stage of [async () => waiting, claims, async () => [done]]) {
    for (const path of await stage()) {
      const found = await compare(path, markOfOurs);
      if (found !== 'absent') return found;
    }
  }
  return 'absent';
}

/** Whether the bytes that `handle` has begin like the archive, as far as they go. */
export async function beginsLike(handle: FileHandle, mark: ArchiveMark): Promise<boolean> {
  const there = Buffer.alloc(mark.head.length);
  let read = 0;
  while (read < there.length) {
    const { bytesRead } = await handle.read(there, read, there.length - read, read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return there.subarray(0, read).equals(mark.head.subarray(0, read));
}

/** A name that is gone before it can be read is `absent`: it has moved on to the next stage. */
async function compare(path: string, markOfOurs: () => Promise<ArchiveMark>): Promise<Probe> {
  let handle: FileHandle | undefined;
  try {
    const found = await fileAt(path);
    if (found === undefined) return 'absent';
    const mark = await markOfOurs();
    if (found.size !== mark.sizeBytes) return 'other';
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    return (await beginsLike(handle, mark)) ? 'same' : 'other';
  } catch (error) {
    if (NOTHING_THERE.has(errnoOf(error))) return 'absent';
    throw error;
  } finally {
    await handle?.close();
  }
}
