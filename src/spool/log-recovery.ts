/**
 * What the reception log holds at a start: instances that were committed, and have no file yet, get it. Afterwards the log
 * says nothing. Of what was not committed nobody was told, and nothing is kept.
 */
import { closeSync, constants, existsSync, openSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { alignedMemory, BLOCK_BYTES, inWholeBlocks } from '../disk/uncached.mjs';
import { readAll } from '../disk/whole.mjs';
import { GatewayError } from '../errors/gateway-error.js';
import type { Layout } from './layout.js';
import type { LogPiece } from './log-piece.js';
import { readRecordHead, recordBytes } from './log-record.mjs';
import { SEGMENT_BYTES, silenceSegment } from './log-segments.js';
import { type CommitText, parseRecordText, pathInStudy, type RecordText } from './log-text.js';
import { restoreStudies } from './restore-studies.js';
import type { RestoredFile } from './restorer.js';
import type { Tell } from './study-folder.js';

/** Files made in one go. */
const FILES_AT_ONCE = 64;

interface FoundPiece extends LogPiece {
  readonly position: number;
}

interface Found {
  readonly pieces: Map<string, FoundPiece[]>;
  readonly commits: Map<string, CommitText>;
}

/** What the log holds of the last run. Until all of it has its files, the log must not be written to. */
export interface Recovery {
  /** The keys of the studies that lack files of instances that were committed. */
  lacking(): ReadonlySet<string>;
  /**
   * Makes the files. Afterwards the log says nothing.
   * @throws SPOOL_WRITE_FAILED when not all could be made; it can be asked for again, or left to the next start
   */
  restore(): Promise<void>;
  close(): void;
}

/** Tells of instances that are committed and not whole. Throws the disk's error. */
export function readReceptionLog(layout: Layout, tell: Tell): Recovery {
  const segments = readdirSync(layout.receptionLog)
    .filter((name) => name.endsWith('.log'))
    .map((name) => openSync(join(layout.receptionLog, name), constants.O_RDWR));
  const close = () => {
    for (const file of segments) closeSync(file);
  };
  try {
    let missing = [...missingFiles(layout, findRecords(segments), tell)];
    return {
      lacking: () => new Set(missing.map(({ to }) => basename(dirname(to)))),
      async restore() {
        const stuck: RestoredFile[] = [];
        let failure: unknown;
        for (let at = 0; at < missing.length; at += FILES_AT_ONCE) {
          const files = missing.slice(at, at + FILES_AT_ONCE);
          const restored = await restoreStudies({ folder: layout.ready, files, isReplacing: true });
          stuck.push(...restored.failed);
          failure ??= restored.failure;
        }
        missing = stuck;
        if (failure !== undefined) throw failure;
        for (const file of segments) await silenceSegment(file);
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function findRecords(segments: readonly number[]): Found {
  const found: Found = { pieces: new Map(), commits: new Map() };
  const settled: string[] = [];
  for (const file of segments) {
    for (const { text, ...piece } of recordsOf(file)) {
      if ('settled' in text) settled.push(...text.settled);
      else {
        const { id, position } = text;
        found.pieces.set(id, [...(found.pieces.get(id) ?? []), { ...piece, position }]);
        if ('sizeBytes' in text) found.commits.set(id, text);
      }
    }
  }
  for (const id of settled) found.commits.delete(id);
  return found;
}

type FoundRecord = Omit<FoundPiece, 'position'> & { readonly text: RecordText };

function* recordsOf(file: number): Generator<FoundRecord> {
  const block = Buffer.from(alignedMemory(BLOCK_BYTES), 0, BLOCK_BYTES);
  let epoch: string | undefined;
  for (let at = 0; at + BLOCK_BYTES <= SEGMENT_BYTES; ) {
    if (!isRead(file, block, at)) return;
    const head = readRecordHead(block);
    if (head === undefined || head.epoch !== (epoch ?? head.epoch)) return;
    epoch = head.epoch;
    const { dataBytes: bytes, dataCrc: crc, text } = head;
    yield { file, at: at + BLOCK_BYTES, bytes, crc, text: parseRecordText(text) };
    at += recordBytes(bytes);
  }
}

/** False where the file ends: it was being made. */
function isRead(file: number, into: Buffer, at: number): boolean {
  try {
    readAll(file, into, at);
    return true;
  } catch {
    return false;
  }
}

function* missingFiles(
  layout: Layout,
  { pieces, commits }: Found,
  tell: Tell,
): Generator<RestoredFile, void, void> {
  for (const [id, commit] of commits) {
    const to = pathInStudy(layout, commit);
    // Of a study that is not there any more, everything was done.
    if (to === undefined || !existsSync(dirname(to))) continue;
    const own = (pieces.get(id) ?? []).sort((a, b) => a.position - b.position);
    // Also where there is a file: it may never have reached the disk whole.
    if (isWhole(own, commit.sizeBytes)) yield { pieces: own, sizeBytes: commit.sizeBytes, to, hashedFrom: 0 };
    else if (!existsSync(to))
      tell(
        new GatewayError(
          'SPOOL_CORRUPT',
          'an instance that was being received when the power failed is not whole',
          {
            facts: { path: to },
          },
        ),
      );
  }
}

function isWhole(pieces: readonly FoundPiece[], sizeBytes: number): boolean {
  let end = 0;
  for (const { file, at, bytes, position, crc } of pieces) {
    const data = Buffer.alloc(inWholeBlocks(bytes));
    if (position !== end || !isRead(file, data, at) || crc32(data.subarray(0, bytes)) !== crc) return false;
    end += bytes;
  }
  return end === sizeBytes;
}
