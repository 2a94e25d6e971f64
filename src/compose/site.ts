/** What every process of a site needs: the spool, the keys, the peers, the records. No listener, no queue. */
import type { Settings } from '../config/settings.js';
import { type Clock, systemClock } from '../domain/clock.js';
import type { Delivery } from '../domain/delivery.js';
import type { Pacs, Peer } from '../domain/peer.js';
import type { Reception } from '../domain/reception.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { createSpool } from '../spool/envelope-store.js';
import { createLayout, type Layout } from '../spool/layout.js';
import { openRecordStore, type RecordStore } from '../spool/record-store.js';
import { createHttpsTransport, type HttpsTransport } from '../transport/https/client.js';
import type { Transport } from '../transport/transport.js';
import { readPacs, readPeers } from '../trust/peers.js';
import { readSiteKeys, type SiteKeys } from '../trust/site-keys.js';

export interface SiteContext {
  readonly settings: Settings;
  readonly layout: Layout;
  readonly keys: SiteKeys;
  readonly peers: ReadonlyMap<string, Peer>;
  readonly pacs: ReadonlyMap<string, Pacs>;
  readonly deliveries: RecordStore<Delivery>;
  readonly receptions: RecordStore<Reception>;
  transportTo(peerId: string): Transport;
  readonly clock: Clock;
  readonly log: Log;
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
  const [keys, peers] = await Promise.all([readSiteKeys(layout.keys, settings.https), readPeers(settings)]);
  const transports = new Map<string, HttpsTransport>();
  return {
    settings,
    layout,
    keys,
    peers,
    pacs: readPacs(settings),
    deliveries: openRecordStore<Delivery>(layout.deliveries, listeners.delivery),
    receptions: openRecordStore<Reception>(layout.receptions, listeners.reception),
    transportTo(peerId) {
      let transport = transports.get(peerId);
      if (transport === undefined) {
        const peer = peers.get(peerId);
        if (peer === undefined)
          throw new GatewayError('PEER_REFUSED', `there is no peer ${peerId} in the config`);
        transport = createHttpsTransport(peer, keys.tls);
        transports.set(peerId, transport);
      }
      return transport;
    },
    clock: systemClock,
    log,
    close() {
      for (const transport of transports.values()) transport.close();
    },
  };
}
