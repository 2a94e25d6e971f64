/** What every process of a site needs: the spool, the keys, the peers, the records. No listener, no queue. */

import type { KeyObject } from 'node:crypto';
import { readPacs } from '../config/pacs.js';
import type { Settings } from '../config/settings.js';
import type { DicomTls } from '../dimse/dicom-tls.js';
import { type Clock, systemClock } from '../domain/clock.js';
import type { CommitmentTransaction } from '../domain/commitment-transaction.js';
import type { Delivery } from '../domain/delivery.js';
import type { Exchange } from '../domain/exchange.js';
import type { Pacs } from '../domain/peer.js';
import type { Reception } from '../domain/reception.js';
import type { Log } from '../observe/log.js';
import { createOpenpgp, type Openpgp } from '../openpgp/openpgp.js';
import { createFileDurably } from '../spool/atomic.js';
import { readBridgeId } from '../spool/bridge-id.js';
import { createSpool } from '../spool/envelope-store.js';
import { createLayout, type Layout } from '../spool/layout.js';
import { openRecordStore, type RecordStore } from '../spool/record-store.js';
import { fetchKeySet } from '../transport/https/key-set.js';
import type { Lines } from '../transport/lines.js';
import { readExchanges } from '../trust/exchanges.js';
import { openPeerBook, type PeerBook } from '../trust/peer-book.js';
import { createKeyNews, type KeyNews } from '../trust/peer-news.js';
import type { SiteKeys } from '../trust/site-keys.js';
import { type Connect, connectorTo, openSiteDicomTls } from './dicom-tls.js';
import { type Directory, openDirectory } from './directory.js';
import { createLines } from './lines.js';
import { readLiveKeys } from './live-keys.js';

export interface SiteContext {
  readonly settings: Settings;
  readonly layout: Layout;
  readonly keys: SiteKeys;
  readonly peers: PeerBook;
  readonly keyNews: KeyNews;
  readonly openpgp: Openpgp;
  readonly directory: Directory;
  readonly pacs: ReadonlyMap<string, Pacs>;
  /** Where associations are taken or opened with TLS. */
  readonly dicomTls?: DicomTls;
  /** Connects to a PACS, or to a modality that is reported to, where it is called with TLS; undefined for plain DICOM. */
  connectorTo(remote: { readonly tls: boolean }): Connect | undefined;
  readonly deliveries: RecordStore<Delivery>;
  readonly receptions: RecordStore<Reception>;
  readonly transactions: RecordStore<CommitmentTransaction>;
  readonly exchanges: ReadonlyMap<string, Exchange>;
  readonly lines: Lines;
  /** The hub that envelopes for this peer are sealed to once more; undefined where there is none. */
  hubTo(peerId: string): { readonly id: string; readonly encryptionKey: KeyObject } | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Brings in what other processes have changed: keys that were rotated, peers that were paired. */
  refresh(): Promise<void>;
  close(): void;
}

/** Told after each record that this process writes. */
export interface RecordListeners {
  readonly delivery?: (record: Delivery) => void;
  readonly reception?: (record: Reception) => void;
}

/** @throws KEY_UNREADABLE, CONFIG_INVALID */
export async function openSite(
  settings: Settings,
  log: Log,
  listeners: RecordListeners = {},
): Promise<SiteContext> {
  const layout = createLayout(settings.dataDir);
  await createSpool(layout);
  const [keys, peers, exchanges, bridgeId] = await Promise.all([
    readLiveKeys(layout.keys, settings, log),
    openPeerBook(settings, layout.trust, { createFile: createFileDurably, clock: systemClock, log }),
    readExchanges(settings),
    readBridgeId(layout),
  ]);
  const directory = await openDirectory({
    settings,
    peers,
    keys,
    identity: keys.tls,
    clock: systemClock,
    log,
  });
  const dicomTls = await openSiteDicomTls(settings, layout.keys, log);
  const lines = createLines({
    peers,
    exchanges,
    identity: keys.tls,
    bridgeId,
    processes: settings.workers.processes,
  });
  return {
    settings,
    layout,
    keys,
    peers,
    keyNews: createKeyNews(
      peers,
      ({ peer }, url, signal) => fetchKeySet({ url, trust: peer, identity: keys.tls, signal }),
      { log, now: () => systemClock.now() },
    ),
    directory,
    openpgp: createOpenpgp(settings, layout.keys),
    pacs: readPacs(settings),
    ...(dicomTls === undefined ? {} : { dicomTls }),
    connectorTo: (remote) => connectorTo(remote, dicomTls),
    deliveries: openRecordStore<Delivery>(layout.deliveries, listeners.delivery),
    receptions: openRecordStore<Reception>(layout.receptions, listeners.reception),
    transactions: openRecordStore<CommitmentTransaction>(layout.transactions),
    exchanges,
    lines,
    hubTo(peerId) {
      const exchange = exchanges.get(peers.get(peerId)?.via ?? '');
      return exchange?.type === 'hub' ? exchange.nested : undefined;
    },
    clock: systemClock,
    log,
    async refresh() {
      await keys.refresh();
      await peers.refresh();
    },
    close() {
      lines.close();
      directory.close();
      dicomTls?.close();
    },
  };
}
