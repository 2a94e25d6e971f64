/** The use cases with their parts: what a job of each stage runs, and what becomes of its failure. */
import type { EnvelopeId } from '../domain/envelope-id.js';
import { parseEnvelopeId } from '../domain/envelope-id.js';
import type { DueStep } from '../domain/reception.js';
import type { GatewayError } from '../errors/gateway-error.js';
import { confirm } from '../inbound/confirm.js';
import { deliver } from '../inbound/deliver.js';
import { giveUpReception, noteReceptionFailure } from '../inbound/give-up.js';
import { open } from '../inbound/open.js';
import type { InboundParts } from '../inbound/parts.js';
import { verify } from '../inbound/verify.js';
import { noteDeliveryFailure, parkDelivery } from '../outbound/give-up.js';
import { pack } from '../outbound/pack.js';
import type { OutboundParts, OutboundStage } from '../outbound/parts.js';
import { receipt } from '../outbound/receipt.js';
import { seal } from '../outbound/seal.js';
import { ship } from '../outbound/ship.js';
import { formatDeliverId, parseDeliverId } from '../queue/delivery-job.js';
import type { Stage } from '../queue/jobs.js';
import type { Producer } from '../queue/producer.js';
import type { SiteContext } from './site.js';

export interface StageStep {
  /** @param jobId as the queue has it */
  run(jobId: string, signal: AbortSignal): Promise<void>;
  /** The peer or PACS that the job is for. */
  lane?(jobId: string): Promise<string | undefined>;
  retried(jobId: string, error: GatewayError, nextAttemptAtMs: number, attempt: number): Promise<void>;
  givenUp(jobId: string, error: GatewayError): Promise<void>;
}

export function outboundParts(site: SiteContext, producer: Producer): OutboundParts {
  return {
    ...site,
    site: site.settings.site,
    signingKey: site.keys.signing.privateKey,
    transportTo: (peerId) => site.transportTo(peerId),
    enqueue: (stage, id) => producer.add(stage, id),
  };
}

export function inboundParts(site: SiteContext, producer: Producer): InboundParts {
  return {
    ...site,
    site: site.settings.site,
    maxEnvelopeBytes: site.settings.https.maxEnvelopeBytes,
    transportTo: (peerId) => site.transportTo(peerId),
    enqueue: (step, id) => producer.add(step.stage, jobIdOf(step, id)),
  };
}

export function createSteps(site: SiteContext, producer: Producer): Readonly<Record<Stage, StageStep>> {
  const outbound = outboundParts(site, producer);
  const inbound = inboundParts(site, producer);

  const sending = (
    stage: OutboundStage,
    run: (parts: OutboundParts, id: EnvelopeId, signal: AbortSignal) => Promise<void>,
  ): StageStep => ({
    run: (jobId, signal) => run(outbound, parseEnvelopeId(jobId), signal),
    lane: async (jobId) => (await site.deliveries.read(parseEnvelopeId(jobId)))?.peerId,
    retried: (jobId, error, nextAttemptAtMs, attempt) =>
      noteDeliveryFailure(outbound, stage, parseEnvelopeId(jobId), error, attempt, nextAttemptAtMs),
    givenUp: (jobId, error) => parkDelivery(outbound, stage, parseEnvelopeId(jobId), error),
  });

  const receiving = (
    stage: DueStep['stage'],
    run: (parts: InboundParts, id: EnvelopeId, signal: AbortSignal) => Promise<void>,
  ): StageStep => ({
    run: (jobId, signal) => run(inbound, parseEnvelopeId(jobId), signal),
    lane: async (jobId) => (await site.receptions.read(parseEnvelopeId(jobId)))?.senderId,
    retried: (jobId, error, nextAttemptAtMs, attempt) =>
      noteReceptionFailure(inbound, { stage }, parseEnvelopeId(jobId), error, attempt, nextAttemptAtMs),
    givenUp: (jobId, error) => giveUpReception(inbound, { stage }, parseEnvelopeId(jobId), error),
  });

  return {
    pack: sending('pack', pack),
    seal: sending('seal', seal),
    ship: sending('ship', ship),
    receipt: sending('receipt', receipt),
    open: receiving('open', open),
    verify: receiving('verify', verify),
    confirm: receiving('confirm', confirm),
    deliver: delivering(inbound),
  };
}

function delivering(inbound: InboundParts): StageStep {
  return {
    run(jobId, signal) {
      const { id, pacsName } = parseDeliverId(jobId);
      return deliver(inbound, id, pacsName, signal);
    },
    lane: async (jobId) => parseDeliverId(jobId).pacsName,
    retried(jobId, error, nextAttemptAtMs, attempt) {
      const { id, pacsName } = parseDeliverId(jobId);
      return noteReceptionFailure(
        inbound,
        { stage: 'deliver', pacs: pacsName },
        id,
        error,
        attempt,
        nextAttemptAtMs,
      );
    },
    givenUp(jobId, error) {
      const { id, pacsName } = parseDeliverId(jobId);
      return giveUpReception(inbound, { stage: 'deliver', pacs: pacsName }, id, error);
    },
  };
}

function jobIdOf(step: DueStep, id: EnvelopeId): string {
  return step.pacs === undefined ? id : formatDeliverId(id, step.pacs);
}
