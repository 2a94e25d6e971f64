/**
 * The records in memory, for the dashboard. This process hears of its own writes at once; those of the workers it sees
 * by looking at the folders of unfinished records, and for new ones at the folder of all.
 */
import { stat } from 'node:fs/promises';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { RecordStore, StoredRecord } from '../spool/record-store.js';

/** Folders looked at side by side. */
const BATCH = 32;
/** Two writes closer than this may leave the same time at a folder: what changed just now is looked at again. */
const CLOCK_TICK_MS = 2_000;

export interface RecordIndex<R extends StoredRecord> {
  /** Newest first. */
  all(): readonly R[];
  get(id: EnvelopeId): R | undefined;
  /** A record that this process wrote. */
  put(record: R): void;
  /** Reads what others wrote. Resolves to whether anything changed. */
  refresh(): Promise<boolean>;
}

/**
 * @param createdAtMs what the order goes by
 * @param isFinished nobody writes such a record any more
 */
export function createRecordIndex<R extends StoredRecord>(
  store: () => RecordStore<R>,
  createdAtMs: (record: R) => number,
  isFinished: (record: R) => boolean,
): RecordIndex<R> & { load(): Promise<void> } {
  const records = new Map<EnvelopeId, R>();
  const seenAtMs = new Map<EnvelopeId, number>();
  const unread = new Set<EnvelopeId>();
  let listedAtMs: number | undefined;
  let sorted: readonly R[] | undefined;

  const put = (record: R): boolean => {
    const known = records.get(record.id);
    if (known !== undefined && known.revision >= record.revision) return false;
    records.set(record.id, record);
    sorted = undefined;
    return true;
  };

  const look = async (id: EnvelopeId): Promise<boolean> => {
    const lookedAtMs = Date.now();
    const { mtimeMs } = await stat(store().documentPath(id, '.'));
    if (seenAtMs.get(id) === mtimeMs) return false;
    const record = await store().read(id);
    // The time from before the reading: a write in between is seen in the next round.
    if (isPast(mtimeMs, lookedAtMs)) seenAtMs.set(id, mtimeMs);
    return record !== undefined && put(record);
  };

  const readUnknown = async (): Promise<boolean> => {
    const lookedAtMs = Date.now();
    const changedAtMs = await store().changedAtMs();
    if (changedAtMs !== listedAtMs) {
      for (const id of await store().ids()) if (!records.has(id)) unread.add(id);
      listedAtMs = isPast(changedAtMs, lookedAtMs) ? changedAtMs : undefined;
    }
    let found = false;
    for (const id of unread) {
      const record = await store().read(id);
      // A folder without a record is one that is just being made: it is looked at again.
      if (record === undefined) continue;
      unread.delete(id);
      found = put(record) || found;
    }
    return found;
  };

  return {
    put,
    get: (id) => records.get(id),
    all() {
      sorted ??= [...records.values()].sort((a, b) => createdAtMs(b) - createdAtMs(a));
      return sorted;
    },
    async load() {
      await readUnknown();
    },
    async refresh() {
      const isNew = await readUnknown();
      const unfinished = [...records.values()].filter((record) => !isFinished(record)).map(({ id }) => id);
      let changed = isNew;
      for (let at = 0; at < unfinished.length; at += BATCH) {
        const found = await Promise.all(unfinished.slice(at, at + BATCH).map(look));
        changed ||= found.includes(true);
      }
      return changed;
    },
  };
}

function isPast(timeMs: number, nowMs: number): boolean {
  return nowMs - timeMs >= CLOCK_TICK_MS;
}
