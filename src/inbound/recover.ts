/**
 * Derives from the records what is still to be done, and puts it on the queues. Run at start and now and then: it makes
 * up for a crash between two lines, and for a Redis that forgot everything. Adding what is there already is harmless.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type EnvelopeId, isEnvelopeId } from '../domain/envelope-id.js';
import { isReceptionEnded } from '../domain/reception.js';
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
    if (reception === undefined || isReceptionEnded(reception)) continue;
    unfinished += 1;
    await enqueueNext(parts, reception);
  }
  return unfinished;
}

/**
 * Removes folders of envelopes whose record was never written: their sender got no acknowledgement, and sends again. And
 * what was opened, and never got into the record: it is opened again.
 * @param olderThanMs 0 while no worker runs; else far above the time between a folder and its record
 */
export async function discardUnacknowledged(parts: InboundParts, olderThanMs: number): Promise<void> {
  const { inbox, opened, staging } = parts.layout;
  const found = await Promise.all([inbox, opened, staging].map(namesIn));
  for (const [folder, name] of found.flat()) {
    const { mtimeMs } = await stat(join(folder, name));
    if (olderThanMs > 0 && parts.clock.now() - mtimeMs < olderThanMs) continue;
    const id = name.replace(/\.JMIX$/, '');
    const reception = isEnvelopeId(id) ? await parts.receptions.read(id) : undefined;
    const isNoted = folder !== staging || reception?.progress !== 'received';
    if (reception !== undefined && isNoted) continue;
    await discardFolder(parts.layout, join(folder, name));
  }
}

async function namesIn(folder: string): Promise<readonly (readonly [folder: string, name: string])[]> {
  return (await readdir(folder)).map((name) => [folder, name] as const);
}
