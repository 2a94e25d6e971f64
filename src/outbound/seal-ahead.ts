/**
 * Envelopes of studies that have been quiet for a while, sealed ahead of their freeze, so that they are ready when the
 * quiet time is over. Until then they lie in scratch under no name, and no record knows them; in the second half of the
 * quiet time they may leave, but for their ends (ship-ahead.ts).
 * The freeze takes one that holds exactly what it holds, for the same receivers; all others are thrown away, by a crash
 * too (the next start wipes scratch). Whoever brings instances goes first: while any arrive, nothing is sealed ahead, and
 * what was begun is given up. One at a time; once for each time that a study falls quiet, and each time it must have been
 * quiet for longer, so that one that comes by and by is not sealed again and again.
 */
import { advanceDelivery, type Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Instance } from '../domain/instance.js';
import type { Study } from '../domain/study.js';
import { GatewayError } from '../errors/gateway-error.js';
import { syncTree } from '../spool/atomic.js';
import { placeFolder } from '../spool/envelope-store.js';
import type { ScratchFolder } from '../spool/scratch.js';
import { readSealedFolder } from '../spool/sealed-folder.js';
import { makeDraft } from './pack.js';
import type { FreezeParts, OutboundParts } from './parts.js';
import { contentOf, type FreezePlan, newDelivery, planFreeze } from './plan-freeze.js';
import { keepSealed } from './seal-shared.js';
import { sealStudy } from './seal-study.js';
import type { ShippedAhead } from './ship-ahead.js';

/** What was sealed for one freeze. */
export interface Ahead {
  /** With the ids of the envelopes that were sealed. */
  readonly plan: Omit<FreezePlan, 'basis'>;
  /** To be called when the freeze stands: gives the envelopes their names, as soon as they are sealed. Never throws. */
  place(): Promise<void>;
  /** To be called instead, when it does not. */
  discard(): void;
}

export interface SealedAhead {
  /**
   * Seals what has gathered of a study, or sends what was sealed of it, in the background, if it is worth it.
   * @param quiet how much of its quiet time is over, 0 to 1
   * @param leftMs how much of it is left, in milliseconds
   */
  begin(study: Study, quiet: number, leftMs: number): void;
  /** Something of this study has arrived. */
  arrived(studyKey: string): void;
  /** For a freeze of this basis; what was sealed of another is thrown away. */
  take(studyKey: string, basis: string): Ahead | undefined;
  /** Throws away what nobody took. */
  close(): Promise<void>;
}

/** The first try comes when nothing arrives any more, each further one when so much more of the quiet time is over. */
const QUIET_SHARE = 1 / 4;
/** Then it may leave: what is thrown away after that has cost the line to the peer as well. */
const SHIP_SHARE = 1 / 2;
/** Well within the time for which its end may be held back. */
const SHIP_BEFORE_MS = 60_000;
/** Instances that arrive follow each other more closely; who has more for the study keeps its association. */
const ARRIVALS_END_MS = 200;

const NONE: ReadonlyMap<EnvelopeId, ScratchFolder> = new Map();

interface Candidate {
  readonly plan: FreezePlan;
  readonly abort: AbortController;
  /** Where each envelope lies; never fails. */
  readonly sealing: Promise<ReadonlyMap<EnvelopeId, ScratchFolder>>;
  /** The same, once all are sealed; none when they have left. */
  ready: ReadonlyMap<EnvelopeId, ScratchFolder>;
}

/** @param shipped sends what is sealed; nothing leaves ahead without it */
export function createSealedAhead(parts: FreezeParts, shipped?: ShippedAhead): SealedAhead {
  const candidates = new Map<string, Candidate>();
  /** By study, how often it was tried, and when its last instance had come the last time. */
  const tried = new Map<string, { readonly times: number; readonly lastAtMs: number }>();
  let lastArrivalMs = 0;
  /** The study that is being sealed. */
  let running: string | undefined;
  let isClosed = false;
  const discarding = new Set<Promise<void>>();

  const discard = (key: string): void => {
    const candidate = candidates.get(key);
    candidates.delete(key);
    if (candidate !== undefined) discardCandidate(candidate);
  };
  const discardCandidate = (candidate: Candidate): void => {
    candidate.abort.abort();
    for (const { id } of candidate.plan.deliveries) shipped?.abandon(id);
    const discarded = candidate.sealing.then(removeAll).finally(() => discarding.delete(discarded));
    discarding.add(discarded);
  };

  const start = async (study: Study): Promise<void> => {
    const { key, gathering } = study;
    const [{ lastAtMs }, arrivalMs] = [gathering, lastArrivalMs];
    await parts.refresh();
    // It may have been completed, or gone on, meanwhile.
    const isDue = tried.has(key) && study.gathering.lastAtMs === lastAtMs && lastArrivalMs === arrivalMs;
    const plan = isDue ? planOf(parts, study) : undefined;
    if (plan === undefined || isClosed) return;
    const abort = new AbortController();
    const sealing = sealPlan(parts, study, plan, abort.signal);
    const candidate: Candidate = { plan, abort, sealing, ready: NONE };
    candidates.set(key, candidate);
    candidate.ready = await sealing;
  };

  const ship = (candidate: Candidate): void => {
    const { plan, ready } = candidate;
    candidate.ready = NONE;
    for (const { id, sharedEnvelopeId = id, peerId } of plan.deliveries) {
      const folder = ready.get(sharedEnvelopeId);
      if (folder !== undefined) shipped?.begin(id, peerId, { id: sharedEnvelopeId, folder: folder.path });
    }
  };

  return {
    begin(study, quiet, leftMs) {
      const { key, gathering } = study;
      const candidate = candidates.get(key);
      if (candidate !== undefined && quiet >= SHIP_SHARE && leftMs <= SHIP_BEFORE_MS) ship(candidate);
      const { times = 0, lastAtMs } = tried.get(key) ?? {};
      if (running !== undefined || lastAtMs === gathering.lastAtMs || quiet < times * QUIET_SHARE) return;
      if (parts.clock.now() - lastArrivalMs < ARRIVALS_END_MS) return;
      tried.set(key, { times: times + 1, lastAtMs: gathering.lastAtMs });
      discard(key);
      running = key;
      void start(study)
        // Sealing says why, when it comes to it.
        .catch(() => undefined)
        .finally(() => {
          running = undefined;
        });
    },
    arrived(key) {
      lastArrivalMs = parts.clock.now();
      discard(key);
      if (running !== undefined) discard(running);
    },
    take(key, basis) {
      tried.delete(key);
      const candidate = candidates.get(key);
      if (candidate?.plan.basis !== basis) discard(key);
      // Out of reach from now on: it is no guess any more.
      if (!candidates.delete(key) || candidate === undefined) return undefined;
      const { basis: _basis, ...plan } = candidate.plan;
      return {
        plan,
        discard: () => discardCandidate(candidate),
        async place() {
          for (const [id, folder] of await candidate.sealing) {
            await placeFolder(folder, parts.layout.sealedEnvelope(id)).catch(async (error: unknown) => {
              // Then it is sealed like any other.
              parts.log.warn({ event: 'envelope.ahead_lost', envelope: id, reason: String(error) });
              await folder.remove().catch(() => undefined);
            });
          }
        },
      };
    },
    async close() {
      isClosed = true;
      for (const key of [...candidates.keys()]) discard(key);
      await Promise.all(discarding);
    },
  };
}

/** A delivery whose envelope was sealed ahead of its record. What its envelope needs besides, seal gives it. */
export async function withEnvelopeAhead(parts: OutboundParts, delivery: Delivery): Promise<Delivery> {
  const { id, shared, peerId } = delivery;
  if (parts.hubTo(peerId) !== undefined) return delivery;
  const envelopeId = shared?.id ?? id;
  const envelope = await readSealedFolder(parts.layout, envelopeId);
  if (envelope?.receiverIds.includes(peerId) !== true) return delivery;
  const sealed = await keepSealed(parts, delivery, envelopeId, envelope);
  const packed = advanceDelivery(delivery, { type: 'packed' }, parts.clock.now());
  return advanceDelivery(packed, { type: 'sealed', sealed }, parts.clock.now());
}

/** Undefined where nothing can be planned: completing it says why. */
function planOf(parts: FreezeParts, study: Study): FreezePlan | undefined {
  try {
    return planFreeze(parts, study);
  } catch {
    return undefined;
  }
}

/** Each envelope of a plan, sealed into scratch. Without those that cannot be sealed: seal will say why. */
async function sealPlan(
  parts: FreezeParts,
  study: Study,
  plan: FreezePlan,
  signal: AbortSignal,
): Promise<ReadonlyMap<EnvelopeId, ScratchFolder>> {
  const sealed = new Map<EnvelopeId, ScratchFolder>();
  const freeze = { ...plan, frozenAtMs: parts.clock.now(), reason: 'quiet' } as const;
  // While their files are being made: that takes about as long.
  const unfiled = parts.studies.unfiled(study.key);
  try {
    const content = contentOf(study, plan);
    for (const planned of plan.deliveries) {
      const delivery = newDelivery(study, freeze, planned, content);
      const id = delivery.shared?.id ?? delivery.id;
      if (sealed.has(id)) continue;
      const peerIds = delivery.shared?.members.map((member) => member.peerId) ?? [delivery.peerId];
      const peers = peerIds.flatMap((peerId) => parts.peers.get(peerId) ?? []);
      if (peers.length === 0 || peers.some(({ seal }) => seal === 'openpgp')) continue;
      const draft = await makeDraft(parts, delivery, content, signal, unfiled.files);
      const digests: (readonly [Instance, sha256: string])[] = [];
      const commit = async (from: ScratchFolder) => {
        await syncTree(from.path);
        await assertAcknowledged(parts, digests);
        sealed.set(id, from);
      };
      await sealStudy(parts, id, peers, delivery, draft, signal, {
        commit,
        unfiled: {
          files: unfiled.files,
          sealed: (instance, sha256) => void digests.push([instance, sha256]),
        },
      });
      parts.log.debug({ event: 'envelope.sealed_ahead', study: study.key, envelope: id });
    }
  } catch (error) {
    if (!signal.aborted)
      parts.log.debug({ event: 'envelope.not_sealed_ahead', study: study.key, reason: String(error) });
  } finally {
    unfiled.letGo();
  }
  return sealed;
}

/**
 * What an instance must be is known with its file.
 * @param digests of what was sealed
 * @throws SPOOL_CORRUPT when something else was sealed than is in the files; SPOOL_WRITE_FAILED
 */
async function assertAcknowledged(
  { studies }: FreezeParts,
  digests: readonly (readonly [Instance, sha256: string])[],
): Promise<void> {
  if (digests.length === 0) return;
  await studies.settled();
  if (digests.every(([instance, sha256]) => instance.sha256 === sha256)) return;
  throw new GatewayError('SPOOL_CORRUPT', 'the reception log no longer has the bytes that were acknowledged');
}

async function removeAll(envelopes: ReadonlyMap<EnvelopeId, ScratchFolder>): Promise<void> {
  for (const folder of envelopes.values()) await folder.remove().catch(() => undefined);
}
