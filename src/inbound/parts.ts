/** What the receiving side's steps are made of; compose builds it once per process. */
import type { KeyObject } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Transcoder } from '../dicom/transcoder.js';
import type { ScuPool } from '../dimse/scu-pool.js';
import type { AeAddress } from '../domain/ae-title.js';
import type { Clock } from '../domain/clock.js';
import type { CommitmentTransaction } from '../domain/commitment-transaction.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Pacs, Peer } from '../domain/peer.js';
import type { Reception } from '../domain/reception.js';
import { type DueStep, nextReceptionSteps } from '../domain/reception-steps.js';
import type { Site } from '../domain/site.js';
import type { GatewayError } from '../errors/gateway-error.js';
import type { AgeLimits } from '../jmix/envelope-age.js';
import type { Log } from '../observe/log.js';
import type { Openpgp } from '../openpgp/openpgp.js';
import type { Layout } from '../spool/layout.js';
import type { RecordStore } from '../spool/record-store.js';
import type { Lines } from '../transport/lines.js';
import type { KeyNews } from '../trust/peer-news.js';
import type { SiteKeys } from '../trust/site-keys.js';
import type { CommitmentMemory } from './commitment-memory.js';

export interface InboundParts {
  readonly site: Site;
  readonly keys: SiteKeys;
  readonly layout: Layout;
  readonly receptions: RecordStore<Reception>;
  /** What the PACS were asked to commit to. */
  readonly transactions: RecordStore<CommitmentTransaction>;
  readonly peers: ReadonlyMap<string, Peer>;
  readonly keyNews: KeyNews;
  readonly openpgp: Openpgp;
  readonly pacs: ReadonlyMap<string, Pacs>;
  readonly commitmentMemory: CommitmentMemory;
  /** How a PACS is connected to; undefined for plain DICOM. */
  connectorTo(remote: { readonly tls: boolean }): ((to: AeAddress) => Socket) | undefined;
  /** Associations to PACS that are kept open from one study to the next; they are opened and released without it. */
  readonly pool?: ScuPool;
  /** Converts what a PACS does not take as it is. */
  readonly transcoder: Transcoder;
  readonly maxEnvelopeBytes: number;
  readonly age: AgeLimits;
  /** What becomes of an instance whose preamble is neither zeros nor TIFF. */
  readonly preamble: 'refuse' | 'blank' | 'keep';
  readonly lines: Lines;
  /** The hub that envelopes for this peer are sealed to once more; undefined where there is none. */
  hubTo(peerId: string): { readonly id: string; readonly encryptionKey: KeyObject } | undefined;
  /** The directory that attests that a sender signs with this key (fingerprint); undefined when none does that we know. */
  attester(jws: string, siteId: string, fingerprint: string): string | undefined;
  /** A receipt for a delivery of ours. @throws ENVELOPE_NOT_FOUND, RECEIPT_INVALID */
  acceptReceipt(peerId: string, id: EnvelopeId, jws: Buffer): Promise<void>;
  /** A GatewayError while nothing new is taken: the disk is nearly full. */
  admission(): Promise<GatewayError | undefined>;
  /** Puts a step on its queue; harmless when it is there already. @throws REDIS_UNAVAILABLE */
  enqueue(step: DueStep, id: EnvelopeId): Promise<void>;
  /** The same, and at once, when it waits for a later time. @throws REDIS_UNAVAILABLE */
  hurry(step: DueStep, id: EnvelopeId): Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Files of one envelope: a study of 100,000 instances passes. */
export const MAX_ENTRIES = 200_000;

/** Puts every step on its queue that the record waits for. */
export async function enqueueNext(parts: InboundParts, reception: Reception | undefined): Promise<void> {
  if (reception === undefined) return;
  for (const step of nextReceptionSteps(reception)) await parts.enqueue(step, reception.id);
}

/** Nothing of it may move before an operator has looked. */
export function isHalted(reception: Reception): boolean {
  return reception.quarantined !== undefined || reception.parked !== undefined;
}
