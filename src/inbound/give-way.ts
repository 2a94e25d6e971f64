/**
 * An id is taken by the first envelope that arrives under it, before anybody knows whose it is. One that turned out to be
 * vouched for by nobody gives way to the next under its id: else whoever guesses an id keeps the true envelope out. It is
 * kept beside, under quarantine, for whoever wants to look at it; the record is that of the new one. Who judges the
 * signatures is `open`.
 */
import { join } from 'node:path';
import type { Reception } from '../domain/reception.js';
import type { EnvelopeSource } from '../jmix/envelope-folder.js';
import { openEnvelopeFolder } from '../jmix/envelope-folder.js';
import { AUDIT_FILE, MANIFEST_FILE, MANIFEST_JWS } from '../jmix/envelope-names.js';
import { discardFolder, folderExists, moveFolder } from '../spool/envelope-store.js';
import type { Layout } from '../spool/layout.js';
import { RECEIPT_DOCUMENTS } from './confirm.js';
import type { InboundParts } from './parts.js';

/** No key that counts has signed it. */
const VOUCHED_BY_NOBODY: readonly string[] = ['SIGNER_NOT_PINNED', 'ASSERTION_INVALID', 'KEY_REVOKED'];

export function givesWay({ progress, quarantined }: Reception): boolean {
  return progress === 'received' && quarantined !== undefined && VOUCHED_BY_NOBODY.includes(quarantined.code);
}

/** Frees the id of a quarantined envelope on the disk, and the refusal that spoke of it. Safe to repeat. */
export async function setAside(parts: InboundParts, reception: Reception): Promise<void> {
  const { layout } = parts;
  const from = layout.quarantinedEnvelope(reception.id);
  if (await folderExists(from)) {
    const to = asideOf(layout, reception);
    await discardFolder(layout, to);
    await moveFolder(from, to);
  }
  await parts.receptions.removeDocument(reception.id, RECEIPT_DOCUMENTS.refused);
}

/**
 * The record of the one that was set aside becomes that of the new one, whose folder is in the inbox.
 * @returns false when it gives way no more: an operator has taken it up again
 */
export async function replaceReception(
  { receptions, log }: InboundParts,
  before: Reception,
  next: Reception,
): Promise<boolean> {
  const stored = await receptions.update(before.id, (current) =>
    givesWay(current) && current.manifestSha256 === before.manifestSha256
      ? { ...next, revision: current.revision }
      : current,
  );
  const isReplaced = stored.manifestSha256 === next.manifestSha256;
  if (isReplaced) log.warn({ event: 'reception.gave_way', reception: before.id, sender: before.senderId });
  return isReplaced;
}

/** Puts a quarantined envelope into the inbox again; also when a crash kept the one that it gave way to from its record. */
export async function takeUpAgain(parts: InboundParts, reception: Reception): Promise<void> {
  const { layout } = parts;
  const [from, inbox] = [layout.quarantinedEnvelope(reception.id), layout.inboxEnvelope(reception.id)];
  const aside = asideOf(layout, reception);
  if ((await folderExists(from)) || !(await folderExists(aside))) return moveFolder(from, inbox);
  await discardFolder(layout, inbox);
  await moveFolder(aside, inbox);
  await keepDocuments(parts, reception.id, await openEnvelopeFolder(inbox, { inSpool: true }));
}

/** Manifest and signature outlive the envelope: they are the custody chain's first link. */
export async function keepDocuments(
  { receptions }: InboundParts,
  id: Reception['id'],
  { manifest, jws, audit }: EnvelopeSource,
): Promise<void> {
  const documents = [
    [MANIFEST_FILE, manifest],
    [MANIFEST_JWS, jws],
    [AUDIT_FILE, audit],
  ] as const;
  for (const [name, bytes] of documents) {
    await (bytes === undefined
      ? receptions.removeDocument(id, name)
      : receptions.writeDocument(id, name, bytes));
  }
}

function asideOf(layout: Layout, { id, manifestSha256 }: Reception): string {
  return join(layout.quarantine, `${id}-${manifestSha256.slice(0, 16)}.JMIX`);
}
