/**
 * Which deliveries an envelope belongs to whose id is not the delivery's own: one for several peers, or one that was
 * sealed again. Ids of envelopes become known to others, so they are drawn by lot and do not follow from one another.
 * Written before the envelope is sealed, and kept as long as the records.
 */
import { readFile } from 'node:fs/promises';
import { type EnvelopeId, isEnvelopeId } from '../domain/envelope-id.js';
import { createFileDurably, isErrno } from './atomic.js';
import type { Layout } from './layout.js';

/** Peer → delivery. */
type Owners = Readonly<Record<string, EnvelopeId>>;

/** Safe to repeat. @throws the disk's errors */
export async function writeOwners(
  layout: Layout,
  id: EnvelopeId,
  members: readonly { readonly peerId: string; readonly deliveryId: EnvelopeId }[],
): Promise<void> {
  const owners: Owners = Object.fromEntries(members.map(({ peerId, deliveryId }) => [peerId, deliveryId]));
  await createFileDurably(layout.envelopeOwners(id), `${JSON.stringify(owners)}\n`);
}

/** The delivery of an envelope to one peer; undefined for an envelope that is not known here, or not for that peer. */
export async function findOwner(
  layout: Layout,
  id: EnvelopeId,
  peerId: string,
): Promise<EnvelopeId | undefined> {
  try {
    const owners = JSON.parse(await readFile(layout.envelopeOwners(id), 'utf8')) as Owners;
    const owner = Object.hasOwn(owners, peerId) ? owners[peerId] : undefined;
    return isEnvelopeId(owner) ? owner : undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
