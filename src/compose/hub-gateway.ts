/**
 * The gateway process of a hub: takes sealed envelopes from its members and keeps them until their receivers have
 * them. It has no modalities, no PACS, no queue and no workers.
 */
import type { Settings } from '../config/settings.js';
import { type Clock, systemClock } from '../domain/clock.js';
import type { EnvelopeId } from '../domain/envelope-id.js';
import { type Parcel, type ParcelState, parcelState } from '../domain/parcel.js';
import { GatewayError } from '../errors/gateway-error.js';
import { createPeerApp } from '../http/peer-app.js';
import { listenTls } from '../http/server.js';
import { createUploads } from '../http/tus/uploads.js';
import { createDeposit } from '../hub/deposit.js';
import { discardParcel, retryParcel } from '../hub/expire.js';
import { createInbox, type HubInbox } from '../hub/inbox.js';
import { openParcelStore } from '../hub/parcel-store.js';
import type { HubParts } from '../hub/parts.js';
import { recoverParcels } from '../hub/recover.js';
import { startUnwrapper, type Unwrapper } from '../hub/unwrap.js';
import type { Log } from '../observe/log.js';
import { createSpool } from '../spool/envelope-store.js';
import { createLayout } from '../spool/layout.js';
import { wipeScratch } from '../spool/scratch.js';
import type { Space } from '../spool/space.js';
import { readMembers } from '../trust/members.js';
import { type Changes, createChanges } from './changes.js';
import { createHubApi } from './hub-api.js';
import { createHubDirectory } from './hub-directory.js';
import { startHubHousekeeping } from './hub-housekeeping.js';
import { readLiveKeys, startKeyTidying } from './live-keys.js';

export interface ParcelView extends Parcel {
  readonly state: ParcelState;
}

export interface HubGateway {
  readonly ports: { readonly https: number };
  /** Those that are held and the newest of the others, newest first. */
  parcels(): readonly ParcelView[];
  /** Lets those who have not taken a parked parcel try again. @throws ENVELOPE_NOT_FOUND, STATE_INVALID */
  retry(id: EnvelopeId): Promise<void>;
  /** Removes a parcel, whoever waits for it. @throws ENVELOPE_NOT_FOUND, STATE_INVALID */
  discard(id: EnvelopeId): Promise<void>;
  space(): Space;
  /** Calls back, at most a few times a second, when parcels or disk have changed. Returns the unsubscribe function. */
  readonly subscribe: Changes['subscribe'];
  /** Does at once what else is done now and then. */
  tick(): Promise<void>;
  /** Refuses what is new, lets what runs end within `graceMs`, then closes. */
  close(graceMs: number): Promise<void>;
}

export interface HubOptions {
  readonly settings: Settings;
  readonly log: Log;
  readonly clock?: Clock;
}

const DAY_MS = 24 * 3_600_000;
/** An upload in pieces of which nothing came for so long is given up. */
const UPLOAD_EXPIRY_MS = 7 * DAY_MS;

/** @throws KEY_UNREADABLE, CONFIG_INVALID, and the listener's errors (EADDRINUSE, EACCES) */
export async function startHubGateway({
  settings,
  log,
  clock = systemClock,
}: HubOptions): Promise<HubGateway> {
  const layout = createLayout(settings.dataDir);
  await createSpool(layout);
  const [keys, members] = await Promise.all([
    readLiveKeys(layout.keys, settings, log, clock),
    readMembers(settings),
  ]);
  await wipeScratch(layout, 0, clock.now());
  const changes = createChanges();
  const parts: HubParts = {
    site: settings.site,
    keys,
    members,
    layout,
    parcels: await openParcelStore(layout.parcels, changes.notify),
    maxEnvelopeBytes: settings.https.maxEnvelopeBytes,
    ownQuotaBytes: settings.hub.quotaBytes,
    expiryMs: settings.hub.expiryDays * DAY_MS,
    clock,
    log,
  };
  await recoverParcels(parts);

  let closing = false;
  const admission = () =>
    closing ? new GatewayError('SHUTTING_DOWN', 'the hub is stopping') : housekeeping.spaceRefusal();
  const inbox: HubInbox = createInbox(parts, (receiverId) => unwrapper.wake([receiverId]));
  const deposit = createDeposit(parts, ({ boxes }) => {
    inbox.wake(Object.keys(boxes));
    if (Object.hasOwn(boxes, settings.site.id)) unwrapper.wake();
  });
  const unwrapper: Unwrapper = startUnwrapper(parts, deposit);
  const api = createHubApi(parts, {
    members,
    inbox,
    deposit,
    admission,
    ...(settings.hub.directory
      ? { directory: { attestationOf: createHubDirectory(settings, keys, clock) } }
      : {}),
  });
  const { maxEnvelopeBytes } = settings.https;
  const uploads = createUploads({
    folder: layout.uploads,
    maxBytes: maxEnvelopeBytes,
    receive: api.receive,
    admission,
    probe: api.probe,
    log,
    expiryMs: UPLOAD_EXPIRY_MS,
  });
  const housekeeping = await startHubHousekeeping({
    hub: parts,
    uploads,
    unwrapper,
    disk: settings.disk,
    changes,
  });
  const stopWork = async () => {
    await housekeeping.stop();
    await unwrapper.close();
  };
  const listener = await listenTls({
    host: settings.https.host,
    port: settings.https.port,
    app: createPeerApp(api, { log, maxEnvelopeBytes, uploads }),
    certificate: keys.tls.certificate,
    privateKey: keys.tls.privateKey,
    authorities: [...members.values()].flatMap((member) => member.certificateAuthority ?? []),
  }).catch(async (error: unknown) => {
    await stopWork();
    throw error;
  });
  const stopTidying = startKeyTidying(layout.keys, settings, log, clock);
  log.info({ event: 'hub.started', https: listener.port, members: members.size });

  return {
    ports: { https: listener.port },
    parcels: () =>
      [...parts.parcels.past(), ...parts.parcels.held()]
        .map((parcel) => ({ ...parcel, state: parcelState(parcel) }))
        .sort((a, b) => b.receivedAtMs - a.receivedAtMs),
    async retry(id) {
      const { boxes } = await retryParcel(parts, id);
      inbox.wake(Object.keys(boxes));
      unwrapper.wake();
    },
    async discard(id) {
      const { boxes } = await discardParcel(parts, id);
      unwrapper.wake(Object.keys(boxes));
    },
    space: housekeeping.space,
    subscribe: changes.subscribe,
    tick: housekeeping.tick,
    async close(graceMs) {
      closing = true;
      stopTidying();
      inbox.close();
      await listener.close(graceMs);
      await stopWork();
      log.info({ event: 'hub.stopped' });
    },
  };
}
