/**
 * Whether we answer for an instance that a modality asks about (PS3.4 J.3.3).
 *
 * `here`: it is durable in the spool; or the spool has forgotten it since a receiver proved by a signed receipt that its
 * PACS has it. `delivered`: the receipts of all its receivers are verified. Until then it is undecided, for
 * `DELIVERY_PATIENCE_MS` after the modality asked: an operator may send again what was refused or parked. A receiver
 * whose software sends no receipts proves nothing, so there is no commitment either.
 *
 * While another version of an instance is kept aside, there is none for anybody: by its UID alone nobody can say which of
 * the two a modality means, and the one aside goes nowhere.
 *
 * | Failure Reason | when |
 * |---|---|
 * | 0x0112 no such instance | it never came, or was forgotten after it went to receivers who prove nothing |
 * | 0x0119 class conflict | it is here as an instance of another SOP class |
 * | 0x0110 processing failure | another version is kept aside; `here`: its file is gone or cut off; `delivered`: no receipt is to come, or none came in time |
 */
import { FAILURE_REASONS, type FailedReference, type InstanceReference } from '../domain/commitment.js';
import { type Delivery, isEnded } from '../domain/delivery.js';
import type { Instance } from '../domain/instance.js';
import type { Study } from '../domain/study.js';
import type { Uid } from '../domain/uid.js';
import { instancesKeptAside, studiesWith } from '../spool/find-instances.js';
import { readInstanceMeta } from '../spool/instance-file.js';
import type { CommitmentParts } from './commitment-parts.js';
import { INSTANCES_DOCUMENT } from './frozen-content.js';

/** As long as a receipt is waited for. */
export const DELIVERY_PATIENCE_MS = 14 * 86_400_000;
/** What was forgotten longer ago is not searched for: reading years of lists takes minutes. */
const FORGOTTEN_SEARCH_MS = 90 * 86_400_000;

/** One instance's fate. `waiting`: receipts are to come. */
type Verdict = 'committed' | 'waiting' | number;

export interface Judgement {
  readonly committed: readonly InstanceReference[];
  readonly failed: readonly FailedReference[];
  /** Keys of the studies with instances that are still undecided; none: the rest is final. */
  readonly waitsFor: ReadonlySet<string>;
}

/** @param askedAtMs when the modality asked */
export async function judgeReferences(
  parts: CommitmentParts,
  references: readonly InstanceReference[],
  askedAtMs: number,
): Promise<Judgement> {
  const verdicts = await judgeInstances(parts, references);
  const outOfPatience = parts.clock.now() - askedAtMs >= DELIVERY_PATIENCE_MS;
  const committed: InstanceReference[] = [];
  const failed: FailedReference[] = [];
  const waitsFor = new Set<string>();
  for (const reference of references) {
    const found = verdicts.get(reference.sopInstanceUid);
    const verdict: Verdict =
      found === undefined
        ? FAILURE_REASONS.noSuchInstance
        : found.sopClassUid === reference.sopClassUid
          ? found.verdict
          : FAILURE_REASONS.classInstanceConflict;
    if (verdict === 'committed') committed.push(reference);
    else if (verdict !== 'waiting') failed.push({ ...reference, reason: verdict });
    else if (outOfPatience) failed.push({ ...reference, reason: FAILURE_REASONS.processingFailure });
    else if (found !== undefined) waitsFor.add(found.studyKey);
  }
  return { committed, failed, waitsFor };
}

type Verdicts = Map<
  string,
  { readonly studyKey: string; readonly sopClassUid: string; readonly verdict: Verdict }
>;

async function judgeInstances(
  parts: CommitmentParts,
  references: readonly InstanceReference[],
): Promise<Verdicts> {
  const verdicts: Verdicts = new Map();
  const wanted = new Set(references.map(({ sopInstanceUid }) => sopInstanceUid));
  // Their files are looked at.
  await parts.studies.settled();
  // Mostly what came a moment ago: it is in memory, and no folder need be read.
  for (const study of parts.studies.gathering()) {
    if (wanted.size === 0) break;
    if (holdsAny(study, wanted)) await judgeStudy(parts, study, wanted, verdicts);
  }
  for await (const key of studiesWith(parts.layout, wanted)) {
    const study = await parts.studies.find(key);
    if (study !== undefined) await judgeStudy(parts, study, wanted, verdicts);
  }
  if (wanted.size > 0) await judgeForgotten(parts, wanted, verdicts);
  return verdicts;
}

function holdsAny({ instances }: Study, wanted: ReadonlySet<string>): boolean {
  for (const uid of instances.keys()) if (wanted.has(uid)) return true;
  return false;
}

/** Those that a study in the spool holds. */
async function judgeStudy(
  parts: CommitmentParts,
  study: Study,
  wanted: Set<string>,
  verdicts: Verdicts,
): Promise<void> {
  const held = [...study.instances.values()].filter(({ sopInstanceUid }) => wanted.has(sopInstanceUid));
  const inTwoVersions = await instancesKeptAside(parts.layout, study.key);
  const freezes = parts.mode === 'here' ? new Map<Uid, Verdict>() : await judgeFreezes(parts, study);
  const damaged = parts.mode === 'here' ? await damagedOf(parts, study.key, held) : new Set<Uid>();
  for (const { sopInstanceUid, sopClassUid } of held) {
    const here = damaged.has(sopInstanceUid) ? FAILURE_REASONS.processingFailure : 'committed';
    const one = parts.mode === 'here' ? here : (freezes.get(sopInstanceUid) ?? 'waiting');
    const verdict = inTwoVersions.has(sopInstanceUid) ? FAILURE_REASONS.processingFailure : one;
    verdicts.set(sopInstanceUid, { studyKey: study.key, sopClassUid, verdict });
    wanted.delete(sopInstanceUid);
  }
}

/** Files looked at side by side. */
const BATCH = 32;

/** Those whose file is gone, or is not what was stored: the index alone vouches for nothing. */
async function damagedOf(
  { layout, log }: CommitmentParts,
  key: string,
  held: readonly Instance[],
): Promise<ReadonlySet<Uid>> {
  const damaged = new Set<Uid>();
  for (let at = 0; at < held.length; at += BATCH) {
    const batch = held.slice(at, at + BATCH).map(async ({ sopInstanceUid, dataSetBytes }) => {
      const file = await readInstanceMeta(layout.instance(key, sopInstanceUid)).catch(() => undefined);
      if (file?.dataSetBytes !== dataSetBytes) damaged.add(sopInstanceUid);
    });
    await Promise.all(batch);
  }
  if (damaged.size > 0) {
    log.error(
      { event: 'study.damaged', study: key, instances: damaged.size, code: 'SPOOL_CORRUPT' },
      'files are gone or cut off, and are not committed to: let the modality send them again',
    );
  }
  return damaged;
}

/** What each frozen instance waits for, by the first freeze that took it; a later one may take it along once more. */
async function judgeFreezes(parts: CommitmentParts, study: Study): Promise<ReadonlyMap<Uid, Verdict>> {
  const verdicts = new Map<Uid, Verdict>();
  for (const freeze of study.freezes) {
    const ends = await Promise.all(freeze.deliveries.map(({ id }) => lastOf(parts, id)));
    const verdict = judgeDeliveries(ends);
    for (const uid of freeze.sopInstanceUids) if (!verdicts.has(uid)) verdicts.set(uid, verdict);
  }
  return verdicts;
}

/** The delivery, or the one that was made to replace it in the end. */
async function lastOf(parts: CommitmentParts, id: Delivery['id']): Promise<Delivery | undefined> {
  const delivery = await parts.deliveries.read(id);
  return delivery?.replacedBy === undefined ? delivery : lastOf(parts, delivery.replacedBy);
}

function judgeDeliveries(deliveries: readonly (Delivery | undefined)[]): Verdict {
  const known = deliveries.filter((each) => each !== undefined);
  if (known.length < deliveries.length || !known.every(isEnded)) return 'waiting';
  return known.every(({ receipt }) => receipt === 'verified')
    ? 'committed'
    : FAILURE_REASONS.processingFailure;
}

/** Those of studies that the spool has forgotten: what the records of their deliveries say, newest first. */
async function judgeForgotten(
  parts: CommitmentParts,
  wanted: Set<string>,
  verdicts: Verdicts,
): Promise<void> {
  const sinceMs = parts.clock.now() - FORGOTTEN_SEARCH_MS;
  const present = new Set(await parts.studies.keys());
  const forgotten = parts
    .allDeliveries()
    .filter((each) => each.createdAtMs >= sinceMs && each.replacedBy === undefined && isEnded(each))
    .filter(({ studyKey, purpose }) => purpose === undefined && !present.has(studyKey));
  for (const group of byFreeze(forgotten)) {
    if (wanted.size === 0) return;
    const [first] = group;
    if (first === undefined) continue;
    const bytes = await parts.deliveries.readDocument(first.id, INSTANCES_DOCUMENT);
    if (bytes === undefined) continue;
    const ofAll = judgeForgottenFreeze(parts, group);
    const inTwoVersions = await instancesKeptAside(parts.layout, first.studyKey);
    for (const { sopInstanceUid, sopClassUid } of JSON.parse(bytes.toString('utf8')) as Instance[]) {
      if (!wanted.has(sopInstanceUid)) continue;
      const verdict = inTwoVersions.has(sopInstanceUid) ? FAILURE_REASONS.processingFailure : ofAll;
      verdicts.set(sopInstanceUid, { studyKey: first.studyKey, sopClassUid, verdict });
      wanted.delete(sopInstanceUid);
    }
  }
}

/** For `here` one receiver who has it is enough: it is what the spool was allowed to forget it for. */
function judgeForgottenFreeze({ mode }: CommitmentParts, group: readonly Delivery[]): Verdict {
  if (mode === 'delivered') return judgeDeliveries(group);
  return group.some(({ receipt }) => receipt === 'verified') ? 'committed' : FAILURE_REASONS.noSuchInstance;
}

/** All deliveries of one frozen list carry the same instances. */
function byFreeze(deliveries: readonly Delivery[]): Iterable<readonly Delivery[]> {
  const groups = new Map<string, Delivery[]>();
  for (const delivery of deliveries) {
    const name = `${delivery.studyKey}/${delivery.freezeNumber}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [delivery]);
    else group.push(delivery);
  }
  return groups.values();
}
