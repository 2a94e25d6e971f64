/** Forgets received studies that our PACS has had for long enough. Records, manifests and receipts are kept. */
import { isReceptionEnded, type Reception, type ReceptionEvent } from '../domain/reception.js';
import { discardFolder, folderExists } from '../spool/envelope-store.js';
import { RECEIPT_DOCUMENTS } from './confirm.js';
import { discardLetter } from './mail-receipt.js';
import type { InboundParts } from './parts.js';
import { reminders } from './remind.js';

/** From here on a study is kept for a while. */
const ENDS: readonly ReceptionEvent['type'][] = ['delivered', 'receipt', 'tested', 'dismissed'];

/** @returns the number of studies forgotten */
export async function sweepReceptions(parts: InboundParts, keepMs: number): Promise<number> {
  let forgotten = 0;
  for (const id of await parts.receptions.ids()) {
    const reception = await parts.receptions.read(id);
    if (reception === undefined || !isReceptionEnded(reception)) continue;
    const endedAtMs = reception.steps.findLast(({ event }) => ENDS.includes(event))?.atMs;
    if (endedAtMs === undefined || parts.clock.now() - endedAtMs < keepMs) continue;
    const { layout } = parts;
    const folders = [layout.openedOf(id), layout.inboxEnvelope(id), layout.stagingOf(id)];
    const present = await Promise.all(folders.map(folderExists));
    if (!present.includes(true)) continue;
    await discardLetters(parts, reception);
    for (const folder of folders) await discardFolder(parts.layout, folder);
    parts.log.info({ event: 'reception.swept', reception: id });
    forgotten += 1;
  }
  return forgotten;
}

/** Those that a crash kept from being discarded when they had been mailed. */
async function discardLetters(parts: InboundParts, reception: Reception): Promise<void> {
  const { id } = reception;
  for (const name of Object.values(RECEIPT_DOCUMENTS)) {
    const receipt = await parts.receptions.readDocument(id, name);
    if (receipt === undefined) continue;
    for (let asked = 0; asked <= reminders(reception); asked += 1) {
      await discardLetter(parts, { id, receipt, reminders: asked });
    }
  }
}
