/**
 * The C-ECHO and C-STORE SCP: a listener, the associations that are open, and who may open one.
 */
import type { Socket } from 'node:net';
import type { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { createAssociationJudge, type Refusal, type RefusedAssociation } from './association-judge.js';
import { type AssociationPolicy, REJECTIONS } from './association-policy.js';
import { createCallerLimits } from './caller-limits.js';
import { type DicomTls, farEndOf } from './dicom-tls.js';
import { runScpAssociation, type ScpAssociation } from './scp-association.js';
import { listenForAssociations } from './scp-listener.js';
import type { AssociationService } from './service.js';
import type { AssociationInfo, StoreHandler } from './store-scp.js';
import type { UserPolicy } from './user-identity.js';

/** Connections that have not asked for an association yet may be this many on top of the associations. */
const SPARE_CONNECTIONS = 64;

const STOPPING: Refusal = { rejection: REJECTIONS.SHUTTING_DOWN, message: 'the bridge is stopping' };
const DISK_NEARLY_FULL: Refusal = {
  rejection: REJECTIONS.SPOOL_ABOVE_WATERMARK,
  message: 'the data disk has less free space than disk.refuseFreeBytes',
};

export interface ScpOptions {
  readonly host: string;
  /** For plain DICOM, 0 for any free port; absent: only TLS is taken. */
  readonly port?: number;
  /** For DICOM over TLS; absent: none. */
  readonly tls?: { readonly port: number; readonly dicomTls: DicomTls };
  readonly policy: AssociationPolicy;
  readonly handler: StoreHandler;
  readonly log: Log;
  /** An association silent for this long is aborted. */
  readonly idleTimeoutMs: number;
  /** A connection without an association is closed after this long (ARTIM timer, PS3.8 §9.1.5). */
  readonly acceptTimeoutMs: number;
  readonly maxAssociations: number;
  /** From one address. */
  readonly maxAssociationsPerCaller: number;
  /** Announced to peers, 4096 to 1048576. */
  readonly maxPduBytes: number;
  readonly maxInstanceBytes: number;
  /** An association that has lasted for so long is aborted after the instance under way; absent: never. */
  readonly maxAssociationMs?: number;
  /** Operations outstanding on one association, where the peer asks for more than one. Default 1. */
  readonly asyncOperations?: number;
  /** From one address; absent: any number. */
  readonly associationsPerMinutePerCaller?: number | undefined;
  /** From one address, over all of its associations; absent: as fast as it can. */
  readonly bytesPerSecondPerCaller?: number | undefined;
  /** Who may give a user name. Default: anyone, and nobody need. */
  readonly users?: UserPolicy;
  /** What is served besides C-STORE and C-ECHO. */
  readonly services?: readonly AssociationService[];
  /** Asked at each association: why nothing new is taken just now. */
  readonly admission?: () => GatewayError | undefined;
  readonly refused?: (refusal: RefusedAssociation) => void;
}

export interface OpenAssociation extends AssociationInfo {
  readonly instanceCount: number;
  readonly bytes: number;
}

export interface Scp {
  /** For plain DICOM; 0 where only TLS is taken. */
  readonly port: number;
  /** For DICOM over TLS, where it is taken. */
  readonly tlsPort?: number;
  associations(): readonly OpenAssociation[];
  /** Takes no new association, lets the open ones end within `graceMs`, then aborts them. */
  close(graceMs: number): Promise<void>;
}

/** Starts to listen. Rejects with the listener's error when the port cannot be had. */
export async function startScp(options: ScpOptions): Promise<Scp> {
  const { services = [] } = options;
  /** With its far end. */
  const open = new Map<ScpAssociation, string>();
  let closing = false;

  const overload = (remoteAddress: string): Refusal | undefined => {
    if (closing) return STOPPING;
    const refusal = options.admission?.();
    if (refusal?.code === 'SHUTTING_DOWN') return STOPPING;
    if (refusal !== undefined) return DISK_NEARLY_FULL;
    const associated = [...open.keys()].filter((each) => each.info() !== undefined);
    const ofCaller = associated.filter((each) => each.remoteAddress === remoteAddress);
    const tooMany = (most: number, setting: string) => ({
      rejection: REJECTIONS.ASSOCIATION_LIMIT,
      message: `${most} associations are open${setting}`,
    });
    if (associated.length >= options.maxAssociations) {
      return tooMany(options.maxAssociations, ', which is dimse.maxAssociations');
    }
    return ofCaller.length >= options.maxAssociationsPerCaller
      ? tooMany(options.maxAssociationsPerCaller, ' from its host, which is dimse.maxAssociationsPerCaller')
      : undefined;
  };

  const limits = createCallerLimits({
    associationsPerMinute: options.associationsPerMinutePerCaller,
    bytesPerSecond: options.bytesPerSecondPerCaller,
  });
  const judge = createAssociationJudge({
    policy: options.policy,
    users: options.users ?? { users: [], required: false },
    serviceSopClassUids: new Set(services.flatMap(({ sopClassUids }) => sopClassUids)),
    asyncOperations: options.asyncOperations ?? 1,
    limits,
    log: options.log,
    overload,
    refused: options.refused,
  });

  const listener = await listenForAssociations({
    host: options.host,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    maxConnections: options.maxAssociations + SPARE_CONNECTIONS,
    associated: () =>
      new Set([...open].flatMap(([each, farEnd]) => (each.info() === undefined ? [] : [farEnd]))),
    log: options.log,
    handshakeTimeoutMs: options.acceptTimeoutMs,
    take: (socket: Socket) => {
      const farEnd = farEndOf(socket);
      const association = runScpAssociation({ ...options, services, socket, judge, pace: limits.pace });
      open.set(association, farEnd);
      void association.ended.then(() => open.delete(association));
    },
    refused: (refusal) =>
      options.refused?.({ code: 'CALLER_UNTRUSTED', callingAe: '', calledAe: '', ...refusal }),
  });

  return {
    port: listener.port ?? 0,
    ...(listener.tlsPort === undefined ? {} : { tlsPort: listener.tlsPort }),
    associations: () =>
      [...open.keys()].flatMap((association) => {
        const info = association.info();
        return info === undefined
          ? []
          : [{ ...info, instanceCount: association.instanceCount(), bytes: association.bytes() }];
      }),
    async close(graceMs) {
      closing = true;
      listener.close();
      const ended = Promise.all([...open.keys()].map((association) => association.ended));
      for (const association of open.keys()) if (association.info() === undefined) association.abort();
      let timer: NodeJS.Timeout | undefined;
      const grace = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, graceMs);
      });
      await Promise.race([ended, grace]);
      clearTimeout(timer);
      for (const association of open.keys()) association.abort();
      await ended;
    },
  };
}
