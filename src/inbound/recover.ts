/**
 * Derives from the records what is still to be done, and puts it on the queues. Run at start and now and then: it makes
 * up for a crash between two lines, and for a Redis that forgot everything. Adding what is there already is harmless.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type EnvelopeId, isEnvelopeId } from '../domain/envelope-id.js';
import { discardFolder } from '../spool/envelope-store.js';
import { enqueueNext, type InboundParts } from './parts.js';

/**
 * Puts unfinished receptions to work.
 * @param ids those that may be unfinished; what they are is read from the disk
 * @returns how many there are
 */
export async function recoverReceptions(parts: InboundParts, ids: readonly EnvelopeId[]): Promise<number> {
  let unfinished = 0;
  for (const id of ids) {
    const reception = await parts.receptions.read(id);
    if (reception === undefined || reception.progress === 'confirmed') continue;
    unfinished += 1;
    await enqueueNext(parts, reception);
  }
  return unfinished;
}

/** Removes inbox folders whose record was never written: their sender got no 201, and sends again. Only at start. */
export async function discardUnacknowledged(parts: InboundParts): Promise<void> {
  for (const name of await readdir(parts.layout.inbox)) {
    const id = name.replace(/\.JMIX$/, '');
    if (isEnvelopeId(id) && (await parts.receptions.read(id)) !== undefined) continue;
    await discardFolder(parts.layout, join(parts.layout.inbox, name));
  }
}
