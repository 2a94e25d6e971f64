/**
 * The test envelope to a peer that was paired: a delivery like any other, through the same steps and over the same line,
 * that carries a line of text in the place of a study. Its record says so; no study of the spool belongs to it.
 */
import { randomUUID } from 'node:crypto';
import type { Delivery } from '../domain/delivery.js';
import { type EnvelopeId, parseEnvelopeId } from '../domain/envelope-id.js';
import { PAIRING_TEST_FILE, pairingTestText } from '../domain/pairing-test.js';
import { parseUid } from '../domain/uid.js';
import type { JmixMetadata } from '../jmix/metadata.js';
import type { PayloadFile } from '../jmix/seal.js';
import { discardFolder } from '../spool/envelope-store.js';
import { studyKey } from '../spool/layout.js';
import { openDelivery } from './open-delivery.js';
import type { OutboundParts } from './parts.js';

/** JMIX has no envelope without a patient; here there is none. */
export const PAIRING_TEST_METADATA: JmixMetadata = { patient: { id: 'none' } };

/** Opens the delivery and puts it to work. @returns its id */
export async function openPairingTest(parts: OutboundParts, peerId: string): Promise<EnvelopeId> {
  const id = parseEnvelopeId(randomUUID());
  // PS3.5 §B.2: a UID that follows from a UUID. There is no study under it, here or anywhere.
  const uid = parseUid(`2.25.${BigInt(`0x${id.replaceAll('-', '')}`)}`, 'Study Instance UID');
  const delivery: Delivery = {
    id,
    revision: 1,
    peerId,
    purpose: 'pairing-test',
    studyKey: studyKey(uid),
    studyInstanceUid: uid,
    freezeNumber: 1,
    // Two people wait for it.
    priority: 'stat',
    modalities: [],
    instanceCount: 0,
    dataSetBytes: 0,
    createdAtMs: parts.clock.now(),
    carriage: 'accepted',
    receipt: 'awaited',
    steps: [],
  };
  await openDelivery(parts, delivery, { instances: [], attachments: [] });
  return id;
}

export function pairingTestFile(from: string, to: string): PayloadFile {
  const bytes = Buffer.from(pairingTestText(from, to));
  return {
    name: PAIRING_TEST_FILE,
    sizeBytes: bytes.length,
    async *open() {
      yield bytes;
    },
  };
}

/** When its receipt is there: the sweep goes by studies, and would never come to it. */
export async function discardPairingTest(parts: OutboundParts, { id, sealed }: Delivery): Promise<void> {
  for (const each of [sealed?.envelopeId ?? id, sealed?.outer?.id]) {
    if (each !== undefined) await discardFolder(parts.layout, parts.layout.sealedEnvelope(each));
  }
}
