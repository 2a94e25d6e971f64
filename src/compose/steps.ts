/** The use cases with their parts: what a job of each stage runs, and what becomes of its failure. */
import { createTranscoder } from '../dicom/transcoder.js';
import type { ScuPool } from '../dimse/scu-pool.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import type { DueStep } from '../domain/reception-steps.js';
import type { GatewayError } from '../errors/gateway-error.js';
import { CommitmentMemory } from '../inbound/commitment-memory.js';
import { confirm } from '../inbound/confirm.js';
import { deliver } from '../inbound/deliver.js';
import { type FetchParts, fetch } from '../inbound/fetch.js';
import { giveUpReception, noteReceptionFailure } from '../inbound/give-up.js';
import { open } from '../inbound/open.js';
import type { InboundParts } from '../inbound/parts.js';
import { createReceiver } from '../inbound/receive.js';
import { verify } from '../inbound/verify.js';
import { noteDeliveryFailure, parkDelivery } from '../outbound/give-up.js';
import { pack } from '../outbound/pack.js';
import type { OutboundParts, OutboundStage } from '../outbound/parts.js';
import { acceptReceipt, receipt } from '../outbound/receipt.js';
import { seal } from '../outbound/seal.js';
import { ship } from '../outbound/ship.js';
import type { Stage } from '../queue/jobs.js';
import type { Lane } from '../queue/lanes.js';
import { formatNamedId, parseNamedId } from '../queue/named-job.js';
import type { Producer } from '../queue/producer.js';
import { measureSpace, spaceRefusal } from '../spool/space.js';
import { createExchangeBoard, type ExchangeBoard } from './exchange-board.js';
import type { SiteContext } from './site.js';

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
/** One for the process: its threads, which come and go by themselves, are shared by all deliveries. */
const TRANSCODER = createTranscoder();

export interface StageStep {
  /** @param jobId as the queue has it */
  run(jobId: string, signal: AbortSignal): Promise<void>;
  /** The peer or PACS that the job is for. */
  lane?(jobId: string): Promise<Lane | undefined>;
  retried(jobId: string, error: GatewayError, nextAttemptAtMs: number, attempt: number): Promise<void>;
  givenUp(jobId: string, error: GatewayError): Promise<void>;
}

export function outboundParts(
  site: SiteContext,
  producer: Producer,
): OutboundParts & Pick<SiteContext, 'refresh'> {
  const { assertionDays } = site.settings.trust;
  return {
    ...site,
    site: site.settings.site,
    ...(assertionDays === undefined ? {} : { assertionMs: assertionDays * DAY_MS }),
    attestation: () => site.directory.own(),
    enqueue: async (stage, id) => {
      const priority = (await site.deliveries.read(id))?.priority;
      await producer.add(stage, id, priority === undefined ? {} : { priority });
    },
    hurry: async (stage, id) => {
      const priority = (await site.deliveries.read(id))?.priority;
      await producer.promote(stage, id, priority === undefined ? {} : { priority });
    },
  };
}

export function inboundParts(site: SiteContext, producer: Producer): InboundParts {
  const { https, trust } = site.settings;
  return {
    ...site,
    site: site.settings.site,
    maxEnvelopeBytes: https.maxEnvelopeBytes,
    age: { maxAgeMs: trust.maxAgeDays * DAY_MS, maxFutureMs: trust.maxFutureMinutes * MINUTE_MS },
    preamble: trust.preamble,
    transcoder: TRANSCODER,
    commitmentMemory: new CommitmentMemory(),
    attester: (jws, siteId, fingerprint) => site.directory.attester(jws, siteId, fingerprint),
    acceptReceipt: (peerId, id, jws) => acceptReceipt(outboundParts(site, producer), peerId, id, jws),
    admission: async () => spaceRefusal(await measureSpace(site.settings.dataDir, site.settings.disk)),
    enqueue: async (step, id) => {
      const priority = (await site.receptions.read(id))?.priority;
      await producer.add(step.stage, jobIdOf(step, id), priority === undefined ? {} : { priority });
    },
    hurry: async (step, id) => {
      const priority = (await site.receptions.read(id))?.priority;
      await producer.promote(step.stage, jobIdOf(step, id), priority === undefined ? {} : { priority });
    },
  };
}

export function createSteps(
  site: SiteContext,
  producer: Producer,
  board = createExchangeBoard(site.layout, () => site.clock.now()),
  pool?: ScuPool,
): Readonly<Record<Stage, StageStep>> {
  const outbound = outboundParts(site, producer);
  const inbound = { ...inboundParts(site, producer), ...(pool === undefined ? {} : { pool }) };

  const sending = (
    stage: OutboundStage,
    run: (parts: OutboundParts, id: EnvelopeId, signal: AbortSignal) => Promise<void>,
  ): StageStep => ({
    async run(jobId, signal) {
      await site.refresh();
      await run(outbound, parseEnvelopeId(jobId), signal);
    },
    async lane(jobId) {
      const delivery = await site.deliveries.read(parseEnvelopeId(jobId));
      if (delivery === undefined) return undefined;
      const places = placesOf(site, delivery.peerId);
      return {
        name: delivery.peerId,
        priority: delivery.priority ?? 'routine',
        ...(places === undefined ? {} : { places }),
      };
    },
    retried: (jobId, error, nextAttemptAtMs, attempt) =>
      noteDeliveryFailure(outbound, stage, parseEnvelopeId(jobId), error, attempt, nextAttemptAtMs),
    givenUp: (jobId, error) => parkDelivery(outbound, stage, parseEnvelopeId(jobId), error),
  });

  const receiving = (
    stage: DueStep['stage'],
    run: (parts: InboundParts, id: EnvelopeId, signal: AbortSignal) => Promise<void>,
  ): StageStep => ({
    async run(jobId, signal) {
      await site.refresh();
      await run(inbound, parseEnvelopeId(jobId), signal);
    },
    async lane(jobId) {
      const reception = await site.receptions.read(parseEnvelopeId(jobId));
      return reception === undefined ? undefined : { name: reception.senderId };
    },
    retried: (jobId, error, nextAttemptAtMs, attempt) =>
      noteReceptionFailure(inbound, { stage }, parseEnvelopeId(jobId), error, attempt, nextAttemptAtMs),
    givenUp: (jobId, error) => giveUpReception(inbound, { stage }, parseEnvelopeId(jobId), error),
  });

  return {
    pack: sending('pack', pack),
    seal: sending('seal', seal),
    ship: sending('ship', ship),
    receipt: sending('receipt', receipt),
    fetch: fetching({ ...inbound, receive: createReceiver(inbound) }, board),
    open: receiving('open', open),
    verify: receiving('verify', verify),
    confirm: receiving('confirm', confirm),
    deliver: delivering(inbound),
  };
}

/** Those of one process: together they have no more than the config says, as long as each can have one. */
function placesOf({ peers, settings }: SiteContext, peerId: string): number | undefined {
  const places = peers.get(peerId)?.limits.places;
  if (places === undefined) return undefined;
  return Math.max(1, Math.floor(places / Math.max(1, settings.workers.processes)));
}

function delivering(inbound: InboundParts): StageStep {
  return {
    run(jobId, signal) {
      const { id, name } = parseNamedId(jobId);
      return deliver(inbound, id, name, signal);
    },
    lane: async (jobId) => ({ name: parseNamedId(jobId).name }),
    retried(jobId, error, nextAttemptAtMs, attempt) {
      const { id, name } = parseNamedId(jobId);
      return noteReceptionFailure(
        inbound,
        { stage: 'deliver', pacs: name },
        id,
        error,
        attempt,
        nextAttemptAtMs,
      );
    },
    givenUp(jobId, error) {
      const { id, name } = parseNamedId(jobId);
      return giveUpReception(inbound, { stage: 'deliver', pacs: name }, id, error);
    },
  };
}

/** There is no record yet that could tell of a failure: the board does. */
function fetching(parts: FetchParts, board: ExchangeBoard): StageStep {
  const note = (jobId: string, error: GatewayError) => {
    const { id, name } = parseNamedId(jobId);
    return board.trouble(name, id, error);
  };
  return {
    async run(jobId, signal) {
      const { id, name } = parseNamedId(jobId);
      await fetch(parts, name, id, signal);
      await board.solved(name, id);
    },
    lane: async (jobId) => ({ name: parseNamedId(jobId).name }),
    retried: note,
    givenUp: note,
  };
}

function jobIdOf(step: DueStep, id: EnvelopeId): string {
  return step.pacs === undefined ? id : formatNamedId(id, step.pacs);
}
