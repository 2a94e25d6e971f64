/** What the sending side's steps are made of; compose builds it once per process. */
import type { KeyObject } from 'node:crypto';
import type { Clock } from '../domain/clock.js';
import type { Delivery } from '../domain/delivery.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import type { Exchange } from '../domain/exchange.js';
import type { Peer } from '../domain/peer.js';
import type { Route } from '../domain/route.js';
import type { Site } from '../domain/site.js';
import type { DirectoryAttestation } from '../jmix/assertion.js';
import type { Log } from '../observe/log.js';
import type { Openpgp } from '../openpgp/openpgp.js';
import type { Stage } from '../queue/jobs.js';
import type { Layout } from '../spool/layout.js';
import type { RecordStore } from '../spool/record-store.js';
import type { StudyStore } from '../spool/study-store.js';
import type { Lines } from '../transport/lines.js';
import type { KeyNews } from '../trust/peer-news.js';
import type { SiteKeys } from '../trust/site-keys.js';

export type OutboundStage = Extract<Stage, 'pack' | 'seal' | 'ship' | 'receipt'>;

export interface OutboundParts {
  readonly site: Site;
  readonly keys: Pick<SiteKeys, 'signing' | 'announcements'>;
  readonly layout: Layout;
  readonly deliveries: RecordStore<Delivery>;
  readonly peers: ReadonlyMap<string, Peer>;
  readonly keyNews: KeyNews;
  readonly openpgp: Openpgp;
  readonly exchanges: ReadonlyMap<string, Exchange>;
  readonly lines: Lines;
  /** How long the assertions of our envelopes are good; for ever when absent. */
  readonly assertionMs?: number;
  /** What a directory attests of us, for our assertions; undefined where none does. */
  attestation(): DirectoryAttestation | undefined;
  /** The hub that envelopes for this peer are sealed to once more; undefined where there is none. */
  hubTo(peerId: string): { readonly id: string; readonly encryptionKey: KeyObject } | undefined;
  /** Puts a step on its queue; harmless when it is there already. @throws REDIS_UNAVAILABLE */
  enqueue(stage: OutboundStage, id: EnvelopeId): Promise<void>;
  /** The same, and at once, when it waits for a later time. @throws REDIS_UNAVAILABLE */
  hurry(stage: OutboundStage, id: EnvelopeId): Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** And what a study is completed with. */
export interface FreezeParts extends OutboundParts {
  readonly studies: StudyStore;
  readonly routes: readonly Route[];
  /** Brings in what other processes have changed: keys that were rotated, peers that were paired. */
  refresh(): Promise<void>;
}

/** The delivery, if this very step is what it waits for; undefined when it was done, parked or overtaken meanwhile. */
export function dueDelivery(delivery: Delivery | undefined, carriage: readonly Delivery['carriage'][]) {
  if (delivery === undefined || delivery.parked !== undefined || delivery.receipt !== 'awaited')
    return undefined;
  return carriage.includes(delivery.carriage) ? delivery : undefined;
}
