/**
 * The gateway process: takes instances and envelopes in, completes studies, shows the dashboard. Everything that works
 * on a study is left to the workers.
 */
import { startScp } from '../dimse/scp.js';
import { type Delivery, isEnded } from '../domain/delivery.js';
import { isReceptionEnded, type Reception } from '../domain/reception.js';
import { GatewayError, toGatewayError } from '../errors/gateway-error.js';
import { createDashboardApp } from '../http/dashboard-app.js';
import { createPeerApp } from '../http/peer-app.js';
import type { PeerApi } from '../http/ports.js';
import { type HttpListener, listenPlain, listenTls } from '../http/server.js';
import { createUploads, type Uploads } from '../http/tus/uploads.js';
import { discardUnacknowledged } from '../inbound/recover.js';
import { checkOpenpgp } from '../openpgp/openpgp.js';
import { createFeeding } from '../outbound/feeding.js';
import { createIntake } from '../outbound/intake.js';
import { recoverFreezes } from '../outbound/recover.js';
import { queuesForBoard } from '../queue/inspect.js';
import { createProducer } from '../queue/producer.js';
import type { RunningRedis } from '../queue/redis/running-redis.js';
import { wipeScratch } from '../spool/scratch.js';
import { openStudyStore } from '../spool/study-store.js';
import { viewPeer } from '../trust/peer-view.js';
import { createAhead } from './ahead.js';
import { createChanges } from './changes.js';
import { startCommitment } from './commitment.js';
import { viewCommitment } from './commitment-view.js';
import { startCompletionClock } from './completion-clock.js';
import { readDashboardAuth } from './dashboard-auth.js';
import { viewExchange } from './exchange-board.js';
import { startHousekeeping } from './housekeeping.js';
import { startKeyTidying } from './live-keys.js';
import { createOperations } from './operations.js';
import { createPeerApi } from './peer-api.js';
import { startPeerWatch } from './peer-watch.js';
import { createRecordIndex } from './record-index.js';
import { createRefusals } from './refusals.js';
import { routesOf } from './routes.js';
import { scpSettings } from './scp-settings.js';
import type { RecordListeners, SiteContext } from './site.js';
import { createSitePairing } from './site-pairing.js';
import { inboundParts, outboundParts } from './steps.js';
import { DRAWBRIDGE_VERSION } from './version.js';

export interface Gateway {
  /** Without `https` where no port is opened for other bridges. */
  readonly ports: {
    /** For plain DICOM; 0 where only TLS is taken. */
    readonly dimse: number;
    /** For DICOM over TLS, where it is taken. */
    readonly dicomTls?: number;
    readonly https?: number;
    readonly dashboard: number;
  };
  /** Refuses what is new, lets what runs end within `graceMs`, then closes. */
  close(graceMs: number): Promise<void>;
}

export interface GatewayOptions {
  /** Workers run in this very installation, and are not yet started: what they left half-made may go. */
  readonly ownsScratch: boolean;
  readonly workersUp: () => boolean;
  readonly redis: RunningRedis;
}

/** Half-made things of other hosts' workers are left alone for this long. */
const FOREIGN_SCRATCH_MS = 48 * 3600 * 1000;
/** An upload in pieces of which nothing came for so long is forgotten. */
const UPLOAD_EXPIRY_MS = 7 * 24 * 3600 * 1000;
const UPLOAD_SWEEP_MS = 10 * 60 * 1000;

/**
 * @param openContext opens the site with the listeners that this gateway needs
 * @throws KEY_UNREADABLE, CONFIG_INVALID, and the listeners' errors (EADDRINUSE, EACCES)
 */
export async function startGateway(
  openContext: (listeners: RecordListeners) => Promise<SiteContext>,
  { ownsScratch, workersUp, redis }: GatewayOptions,
): Promise<Gateway> {
  const changes = createChanges();
  const deliveries = createRecordIndex<Delivery>(
    () => site.deliveries,
    (record) => record.createdAtMs,
    isEnded,
  );
  const receptions = createRecordIndex<Reception>(
    () => site.receptions,
    (record) => record.receivedAtMs,
    isReceptionEnded,
  );
  const site = await openContext({
    delivery: (record) => {
      deliveries.put(record);
      changes.notify();
    },
    reception: (record) => {
      receptions.put(record);
      changes.notify();
    },
  });
  const { settings, layout, log, clock } = site;
  await wipeScratch(layout, ownsScratch ? 0 : FOREIGN_SCRATCH_MS, clock.now());
  const producer = createProducer(redis.connection, log);
  const { maxStudyBytes: maxBytes, maxStudyInstances: maxInstances } = settings.dimse;
  const studies = await openStudyStore(layout, {
    limits: { maxBytes, maxInstances },
    tell: ({ code, message, advice }) => log.error({ event: 'study.damaged', code, advice }, message),
    logMegabytes: settings.disk.receptionLogMegabytes,
  });
  const freezing = { ...outboundParts(site, producer), studies, routes: routesOf(settings) };
  const ahead = createAhead(freezing, settings.completion.ahead, deliveries);
  const outbound = { ...freezing, ...ahead };
  const inbound = inboundParts(site, producer);
  await Promise.all([deliveries.load(), receptions.load()]);
  await tolerant(() => recoverFreezes(outbound), log);
  await discardUnacknowledged(inbound, ownsScratch ? 0 : FOREIGN_SCRATCH_MS);
  // What goes to other partners need not wait for it.
  await checkOpenpgp(settings, layout.keys).catch((error: unknown) => {
    const { code, message, advice } = toGatewayError(error);
    log.error({ event: 'openpgp.unusable', code, advice }, message);
  });

  const feeding = createFeeding();
  const refusals = createRefusals();
  let closing = false;
  const housekeeping = startHousekeeping({
    outbound,
    inbound,
    deliveries,
    receptions,
    redis,
    changes,
    settings,
  });
  await housekeeping.ready;
  const admission = () =>
    closing ? new GatewayError('SHUTTING_DOWN', 'the bridge is stopping') : housekeeping.spaceRefusal();

  const commitment = await startCommitment(site, {
    inbound,
    studies,
    allDeliveries: deliveries.all,
    refusal: housekeeping.spaceRefusal,
    changed: changes.notify,
  });
  const forgetChanges = changes.subscribe(() => commitment.desk?.recordsChanged());
  const scp = await startScp({
    ...scpSettings(settings, site.pacs.values()),
    ...(settings.dimse.listen ? { port: settings.dimse.port } : {}),
    ...(site.dicomTls === undefined || !settings.dimse.tls.listen
      ? {}
      : { tls: { port: settings.dimse.tls.port, dicomTls: site.dicomTls } }),
    handler: createIntake({
      studies,
      feeding,
      clock,
      log,
      refusal: housekeeping.spaceRefusal,
      arrived(studyKey) {
        ahead.sealedAhead?.arrived(studyKey);
        changes.notify();
      },
    }),
    log,
    services: [commitment.service],
    admission,
    refused: (refusal) => {
      refusals.note(refusal, clock.now());
      changes.notify();
    },
  });
  const peerWatch = startPeerWatch(site, changes.notify);
  const completion = startCompletionClock(outbound, settings.completion, feeding);
  const board = queuesForBoard(redis.connection);
  const startedAtMs = clock.now();
  const operations = createOperations({
    outbound,
    inbound,
    deliveries,
    receptions,
    rules: settings.completion,
    feeding,
    held: completion.held,
    associations: () => scp.associations(),
    refusals: refusals.all,
    status: async () => ({
      version: DRAWBRIDGE_VERSION,
      startedAtMs,
      dimse: {
        aeTitles: settings.dimse.aeTitles,
        port: scp.port,
        ...(scp.tlsPort === undefined ? {} : { tlsPort: scp.tlsPort }),
      },
      redis: {
        kind: redis.kind,
        up: housekeeping.redisUp(),
        ...(redis.note === undefined ? {} : { note: redis.note }),
      },
      disk: housekeeping.space(),
      workers: { up: workersUp() },
      ...(commitment.desk === undefined
        ? {}
        : { commitment: viewCommitment(commitment.desk.open(), clock.now()) }),
    }),
    peers: () => site.peers.known().map(viewPeer),
    exchangeTypeOf: (name) => site.exchanges.get(name)?.type,
    exchanges: () => Promise.all(site.lines.inboxes.map((exchange) => viewExchange(layout, exchange))),
    admission,
    maxAttachmentBytes: settings.dimse.maxInstanceBytes,
    ...changes,
  });
  const pairing = createSitePairing(site, { outbound, deliveries, receptions }, () => peerListener?.port);
  const api = createPeerApi(site, inbound, outbound, admission, pairing.door);
  const uploads = createUploads({
    ...api,
    folder: layout.uploads,
    maxBytes: settings.https.maxEnvelopeBytes,
    log,
    expiryMs: UPLOAD_EXPIRY_MS,
  });
  const sweeping = setInterval(() => void tolerant(() => uploads.sweep(clock.now()), log), UPLOAD_SWEEP_MS);
  const stopTidying = startKeyTidying(layout.keys, settings, log, clock);
  const peerListener = settings.https.listen ? await listenForPeers(site, api, uploads) : undefined;
  const dashboard = await listenPlain({
    host: settings.dashboard.host,
    port: settings.dashboard.port,
    app: createDashboardApp({
      operations,
      pairing: pairing.desk,
      boardQueues: board.queues,
      auth: await readDashboardAuth(layout.keys),
      log,
    }),
  });
  log.info({
    event: 'gateway.started',
    dimse: scp.port,
    dicomTls: scp.tlsPort,
    https: peerListener?.port,
    dashboard: dashboard.port,
    redis: redis.kind,
  });

  return {
    ports: {
      dimse: scp.port,
      ...(scp.tlsPort === undefined ? {} : { dicomTls: scp.tlsPort }),
      ...(peerListener === undefined ? {} : { https: peerListener.port }),
      dashboard: dashboard.port,
    },
    async close(graceMs) {
      closing = true;
      clearInterval(sweeping);
      stopTidying();
      pairing.close();
      await Promise.all([scp.close(graceMs), peerListener?.close(graceMs), dashboard.close(0)]);
      forgetChanges();
      await Promise.all([completion.stop(), peerWatch.stop(), commitment.close()]);
      await Promise.all([housekeeping.stop(), ahead.sealedAhead?.close(), ahead.shippedAhead?.close()]);
      await studies.close();
      await Promise.all([producer.close(), board.close()]);
      site.close();
      log.info({ event: 'gateway.stopped' });
    },
  };
}

function listenForPeers(site: SiteContext, api: PeerApi, uploads: Uploads): Promise<HttpListener> {
  const { settings, keys, peers, log } = site;
  return listenTls({
    host: settings.https.host,
    port: settings.https.port,
    app: createPeerApp(api, { log, maxEnvelopeBytes: settings.https.maxEnvelopeBytes, uploads }),
    certificate: keys.tls.certificate,
    privateKey: keys.tls.privateKey,
    authorities: [...peers.values()].flatMap((peer) => peer.certificateAuthority ?? []),
  });
}

/** What fails here is made up for later: the records are on the disk, and know what is still to be done. */
async function tolerant(work: () => Promise<unknown>, log: SiteContext['log']): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.warn({ event: 'housekeeping.postponed', reason: String(error) });
  }
}
