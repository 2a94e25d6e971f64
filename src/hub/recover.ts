/**
 * At start: the disk and the records are made to agree. A folder without a record got no 201, and its sender comes
 * again; a record without a folder is an envelope that somebody took from the disk, and that is told.
 */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isEnvelopeId } from '../domain/envelope-id.js';
import { advanceParcel } from '../domain/parcel.js';
import { discardFolder } from '../spool/envelope-store.js';
import { removeWhenDone } from './inbox.js';
import type { HubParts } from './parts.js';

/** Called once, before anything is taken. */
export async function recoverParcels(parts: HubParts): Promise<void> {
  for (const name of await readdir(parts.layout.held)) {
    const id = name.replace(/\.JMIX$/, '');
    const parcel = isEnvelopeId(id) ? await parts.parcels.read(id) : undefined;
    if (parcel === undefined || parcel.removed !== undefined) {
      await discardFolder(parts.layout, join(parts.layout.held, name));
    }
  }
  for (const parcel of parts.parcels.held()) await removeWhenDone(parts, parcel);
  await noticeLost(parts);
}

/** Marks the records of envelopes that are gone from the disk, so that an operator hears of it. */
export async function noticeLost(parts: HubParts): Promise<void> {
  const held = parts.parcels.held();
  // Looked up after the records, since a folder comes before its record.
  const folders = new Set(await readdir(parts.layout.held));
  for (const { id, senderId } of held) {
    if (folders.has(basename(parts.layout.heldEnvelope(id)))) continue;
    let isLost = false;
    await parts.parcels.update(id, (record) => {
      // A folder that goes in good order goes after its record has said so.
      isLost = record.removed === undefined;
      return isLost ? advanceParcel(record, { type: 'removed', why: 'lost' }, parts.clock.now()) : record;
    });
    if (isLost) parts.log.error({ event: 'parcel.lost', parcel: id, from: senderId });
  }
}
