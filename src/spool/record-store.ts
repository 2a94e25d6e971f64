/**
 * Delivery and reception records: one folder per id, one immutable JSON file per revision. A new revision is linked
 * into place and fails if somebody else wrote it first, so two processes can never overwrite each other's news; the
 * loser reads again and decides anew. Old revisions are removed when they are so old that no writer can still hold
 * one: into the gap, its news would be linked as if it were the next.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type EnvelopeId, isEnvelopeId } from '../domain/envelope-id.js';
import { GatewayError } from '../errors/gateway-error.js';
import { createFileDurably, isErrno, makeFolder, writeFileDurably } from './atomic.js';

/** Far longer than any step takes from reading a record to writing it. */
const KEEP_MS = 10 * 60_000;
/** Old revisions looked at after each write. */
const REMOVED_AT_ONCE = 2;
/** Rounds of "somebody was faster" before we take it for a fault. */
const MAX_ROUNDS = 50;

export interface StoredRecord {
  readonly id: EnvelopeId;
  readonly revision: number;
}

export interface RecordStore<R extends StoredRecord> {
  /** Writes revision 1. Returns false when there is a record with this id already. */
  create(record: R): Promise<boolean>;
  read(id: EnvelopeId): Promise<R | undefined>;
  /**
   * Reads, changes and writes as one step. `change` is pure and may be called several times; when it returns the very
   * record it was given, nothing is written.
   * @throws ENVELOPE_NOT_FOUND when there is no such record
   */
  update(id: EnvelopeId, change: (record: R) => R): Promise<R>;
  ids(): Promise<readonly EnvelopeId[]>;
  /** Differs when ids have come since; in milliseconds. */
  changedAtMs(): Promise<number>;
  /** Documents beside the record: the frozen list, a receipt. */
  writeDocument(id: EnvelopeId, name: string, bytes: Buffer | string): Promise<void>;
  readDocument(id: EnvelopeId, name: string): Promise<Buffer | undefined>;
  /** No error when there is none. */
  removeDocument(id: EnvelopeId, name: string): Promise<void>;
  /** Where a document lies, for those who append to it. */
  documentPath(id: EnvelopeId, name: string): string;
}

/** @param changed told after each write, in this process only */
export function openRecordStore<R extends StoredRecord>(
  folder: string,
  changed: (record: R) => void = () => undefined,
): RecordStore<R> {
  const folderOf = (id: EnvelopeId) => join(folder, id);

  const revisionsOf = async (id: EnvelopeId): Promise<number[]> => {
    try {
      const names = await readdir(folderOf(id));
      return names
        .map((name) => /^(\d+)\.json$/.exec(name)?.[1])
        .filter((digits) => digits !== undefined)
        .map(Number)
        .sort((a, b) => b - a);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
  };

  const read = async (id: EnvelopeId): Promise<R | undefined> => {
    // A revision may be removed between the listing and the reading, when others write quickly; then list again.
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const [newest] = await revisionsOf(id);
      if (newest === undefined) return undefined;
      try {
        return JSON.parse(await readFile(join(folderOf(id), revisionName(newest)), 'utf8')) as R;
      } catch (error) {
        if (!isErrno(error, 'ENOENT')) throw error;
      }
    }
    throw new GatewayError('FAULT', 'record cannot be read: it keeps changing', { facts: { id } });
  };

  const write = async (record: R): Promise<boolean> => {
    const path = join(folderOf(record.id), revisionName(record.revision));
    const written = await createFileDurably(path, `${JSON.stringify(record)}\n`);
    if (written) changed(record);
    return written;
  };

  return {
    read,
    async create(record) {
      await makeFolder(folderOf(record.id));
      return (await revisionsOf(record.id)).length === 0 && write({ ...record, revision: 1 });
    },
    async update(id, change) {
      for (let round = 0; round < MAX_ROUNDS; round++) {
        const current = await read(id);
        if (current === undefined) throw new GatewayError('ENVELOPE_NOT_FOUND', 'there is no such record');
        const next = change(current);
        if (next === current) return current;
        const stored = { ...next, revision: current.revision + 1 };
        if (await write(stored)) {
          await removeOld(folderOf(id), await revisionsOf(id));
          return stored;
        }
      }
      throw new GatewayError('FAULT', 'record cannot be written: others keep writing it', { facts: { id } });
    },
    async ids() {
      return (await readdir(folder)).filter(isEnvelopeId);
    },
    async changedAtMs() {
      return (await stat(folder)).mtimeMs;
    },
    async writeDocument(id, name, bytes) {
      await makeFolder(folderOf(id));
      await writeFileDurably(join(folderOf(id), name), bytes);
    },
    async readDocument(id, name) {
      try {
        return await readFile(join(folderOf(id), name));
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return undefined;
        throw error;
      }
    },
    async removeDocument(id, name) {
      await rm(join(folderOf(id), name), { force: true });
    },
    documentPath: (id, name) => join(folderOf(id), name),
  };
}

function revisionName(revision: number): string {
  return `${String(revision).padStart(6, '0')}.json`;
}

/** @param revisions newest first; the newest two stay in any case */
async function removeOld(folder: string, revisions: readonly number[]): Promise<void> {
  for (const revision of revisions.slice(2).slice(-REMOVED_AT_ONCE)) {
    const path = join(folder, revisionName(revision));
    // Somebody else may be removing it too.
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > KEEP_MS) await rm(path, { force: true });
  }
}
