/**
 * The parcels of a hub: the records on the disk, and in memory those whose envelopes are held, with the newest of the
 * others. One process alone writes them, so what is in memory is what is on the disk.
 */
import type { EnvelopeId } from '../domain/envelope-id.js';
import { occupies, type Parcel } from '../domain/parcel.js';
import { openRecordStore, type RecordStore } from '../spool/record-store.js';

/** Parcels that are not held any more, kept in memory for whoever looks at the list. */
const MAX_PAST = 1_000;

export interface ParcelStore extends Pick<RecordStore<Parcel>, 'create' | 'read' | 'update' | 'ids'> {
  /** Those whose envelopes are held, in the order of their arrival. */
  held(): readonly Parcel[];
  /** The newest that are held no more, in the order in which that came about. */
  past(): readonly Parcel[];
  /** Bytes that lie here for a receiver. */
  bytesFor(receiverId: string): number;
  /** Runs `work` when no other work on this parcel runs: folder and record change as one. */
  alone<T>(id: EnvelopeId, work: () => Promise<T>): Promise<T>;
}

/** @param changed called after each write */
export async function openParcelStore(folder: string, changed: () => void): Promise<ParcelStore> {
  const held = new Map<EnvelopeId, Parcel>();
  const past = new Map<EnvelopeId, Parcel>();
  const busy = new Map<EnvelopeId, Promise<unknown>>();

  const put = (parcel: Parcel) => {
    const known = held.get(parcel.id) ?? past.get(parcel.id);
    if (known !== undefined && known.revision >= parcel.revision) return;
    past.delete(parcel.id);
    if (parcel.removed === undefined) {
      held.set(parcel.id, parcel);
      return;
    }
    held.delete(parcel.id);
    past.set(parcel.id, parcel);
    const [oldest] = past.keys();
    if (past.size > MAX_PAST && oldest !== undefined) past.delete(oldest);
  };

  const store = openRecordStore<Parcel>(folder, (parcel) => {
    put(parcel);
    changed();
  });
  const found: Parcel[] = [];
  for (const id of await store.ids()) {
    const parcel = await store.read(id);
    if (parcel !== undefined) found.push(parcel);
  }
  const bornAtMs = ({ removed, receivedAtMs }: Parcel) => removed?.atMs ?? receivedAtMs;
  for (const parcel of found.sort((a, b) => bornAtMs(a) - bornAtMs(b))) put(parcel);

  return {
    create: store.create,
    update: store.update,
    ids: store.ids,
    // Most questions are about what is held.
    read: async (id) => held.get(id) ?? past.get(id) ?? store.read(id),
    held: () => [...held.values()],
    past: () => [...past.values()],
    bytesFor(receiverId) {
      let bytes = 0;
      for (const parcel of held.values()) if (occupies(parcel, receiverId)) bytes += parcel.archiveBytes;
      return bytes;
    },
    async alone(id, work) {
      while (busy.has(id)) await busy.get(id)?.catch(() => undefined);
      const running = work();
      busy.set(id, running);
      try {
        return await running;
      } finally {
        busy.delete(id);
      }
    },
  };
}
