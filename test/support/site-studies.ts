/** What the sites of site-parts.ts send: small synthetic studies, or envelopes of any size without one. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeStudy } from '../../samples/make-studies.mjs';
import type { SiteContext } from '../../src/compose/site.js';
import { parseFileMeta } from '../../src/dicom/part10.js';
import type { Delivery } from '../../src/domain/delivery.js';
import { type EnvelopeId, parseEnvelopeId } from '../../src/domain/envelope-id.js';
import type { Route } from '../../src/domain/route.js';
import { parseUid } from '../../src/domain/uid.js';
import { sha256Hex } from '../../src/jmix/digest.js';
import { type CompletionParts, completeStudy } from '../../src/outbound/complete-study.js';
import { createFeeding } from '../../src/outbound/feeding.js';
import { createIntake } from '../../src/outbound/intake.js';
import { promoteFolder } from '../../src/spool/envelope-store.js';
import { studyKey } from '../../src/spool/layout.js';
import { sealToFolder } from '../../src/spool/sealed-envelope.js';

/** A route as the settings have it when they say nothing but this. */
export function routeTo(...to: string[]): Route {
  return {
    to,
    priority: 'routine',
    together: true,
    classification: 'confidential',
    extensions: {},
    match: {},
  };
}

/** A synthetic study of two instances, taken in and complete; the id of its delivery to `peerId`. */
export async function takeStudyIn(outbound: CompletionParts, peerId: string): Promise<EnvelopeId> {
  const [id] = await completeFor(outbound, await gatherStudy(outbound), routeTo(peerId));
  if (id === undefined) throw new Error('the study goes nowhere');
  return id;
}

/** Completes a study that gathers. */
export async function completeFor(
  outbound: CompletionParts,
  key: string,
  ...routes: readonly Route[]
): Promise<readonly EnvelopeId[]> {
  const study = await outbound.studies.find(key);
  if (study === undefined) throw new Error('there is no such study');
  return completeStudy({ ...outbound, routes }, study, 'requested');
}

type StudyWish = 'slices' | 'rows' | 'seed' | 'skip';

/** A synthetic study, taken in; its key. Another seed is another study; what is skipped may have come before. */
export async function gatherStudy(
  outbound: CompletionParts,
  { slices = 2, rows = 16, seed = 1, skip = 0 }: Partial<Readonly<Record<StudyWish, number>>> = {},
): Promise<string> {
  const { layout, clock, log, studies } = outbound;
  const out = join(layout.dataDir, '..', 'files');
  const made = await makeStudy({ kind: 'ct', out, slices, rows, seed });
  const intake = createIntake({
    studies,
    clock,
    log,
    feeding: createFeeding(),
    arrived: (key) => outbound.sealedAhead?.arrived(key),
  });
  const association = {
    id: 'modality',
    callingAe: 'MODALITY',
    calledAe: 'DRAWBRIDGE',
    remoteAddress: '127.0.0.1',
    openedAtMs: clock.now(),
  };
  for (const { path, ...instance } of made.slice(skip)) {
    const file = await readFile(path);
    const session = await intake.begin({ ...instance, association });
    await session.write(file.subarray(parseFileMeta(file)?.dataSetOffset));
    await session.commit();
  }
  return studyKey(parseUid(made[0]?.studyInstanceUid ?? '', 'StudyInstanceUID'));
}

/** A delivery that is sealed and ready to ship, whose payload is nothing but `bytes` bytes. */
export function sealBytes(
  context: SiteContext,
  peerId: string,
  bytes: number,
  more: Partial<Delivery> = {},
): Promise<EnvelopeId> {
  return sealFile(context, peerId, Buffer.alloc(bytes, 'not really DICOM '), more);
}

/** The same, with this file as its only instance; nobody looks whether it is one. */
export async function sealFile(
  { settings, layout, peers, keys, clock, deliveries }: SiteContext,
  peerId: string,
  body: Buffer,
  more: Partial<Delivery> = {},
): Promise<EnvelopeId> {
  const id = more.id ?? parseEnvelopeId(randomUUID());
  const peer = peers.get(peerId);
  if (peer?.encryptionKey === undefined) throw new Error(`nothing can be sealed to ${peerId}`);
  const request = {
    id,
    createdAtMs: clock.now(),
    sender: settings.site,
    recipients: [
      { entity: { id: peer.id, name: peer.name, contact: peer.contact }, key: peer.encryptionKey },
    ],
    extensions: { drawbridge: { announcements: keys.announcements } },
    metadata: { patient: { id: 'TEST-1' } },
    files: [
      {
        name: 'dicom/1.2.3.dcm',
        sizeBytes: body.length,
        open: async function* () {
          yield body;
        },
      },
    ],
    signingKey: keys.signing.privateKey,
  };
  // Tests may want another one under an id that there is.
  const { manifest, payloadSizeBytes } = await sealToFolder(layout, request, (from, to) =>
    promoteFolder(layout, from, to),
  );
  await deliveries.create({
    id,
    revision: 1,
    peerId,
    studyKey: studyKey(parseUid('1.2.3', 'StudyInstanceUID')),
    studyInstanceUid: parseUid('1.2.3', 'StudyInstanceUID'),
    freezeNumber: 1,
    modalities: [],
    instanceCount: 1,
    dataSetBytes: body.length,
    createdAtMs: clock.now(),
    carriage: 'sealed',
    receipt: 'awaited',
    sealed: { sizeBytes: payloadSizeBytes, manifestSha256: sha256Hex(manifest) },
    steps: [],
    ...more,
  });
  return id;
}
