/** What every process of a site needs: the spool, the keys, the peers, the records. No listener, no queue. */

import type { KeyObject } from 'node:crypto';
import type { Settings } from '../config/settings.js';
import { type Clock, systemClock } from '../domain/clock.js';
import type { Delivery } from '../domain/delivery.js';
import type { Exchange } from '../domain/exchange.js';
import type { Pacs, Peer } from '../domain/peer.js';
import type { Reception } from '../domain/reception.js';
import type { Log } from '../observe/log.js';
import { readBridgeId } from '../spool/bridge-id.js';
import { createSpool } from '../spool/envelope-store.js';
import { createLayout, type Layout } from '../spool/layout.js';
import { openRecordStore, type RecordStore } from '../spool/record-store.js';
import type { Lines } from '../transport/lines.js';
import { readExchanges } from '../trust/exchanges.js';
import { openPeerBook } from '../trust/peer-book.js';
import { readPacs } from '../trust/peers.js';
import { readSiteKeys, type SiteKeys } from '../trust/site-keys.js';
import { createLines } from './lines.js';

export interface SiteContext {
  readonly settings: Settings;
  readonly layout: Layout;
  readonly keys: SiteKeys;
  readonly peers: ReadonlyMap<string, Peer>;
  readonly pacs: ReadonlyMap<string, Pacs>;
  readonly deliveries: RecordStore<Delivery>;
  readonly receptions: RecordStore<Reception>;
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
    readSiteKeys(layout.keys, settings.https),
    openPeerBook(settings, layout.trust),
    readExchanges(settings),
    readBridgeId(layout),
  ]);
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
    pacs: readPacs(settings),
    deliveries: openRecordStore<Delivery>(layout.deliveries, listeners.delivery),
    receptions: openRecordStore<Reception>(layout.receptions, listeners.reception),
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
    close: () => lines.close(),
  };
}
