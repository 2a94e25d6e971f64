/**
 * The C-ECHO and C-STORE SCP: a listener, the associations that are open, and who may open one.
 */
import { lookup } from 'node:dns/promises';
import { createServer, type Socket } from 'node:net';
import type { ErrorCode } from '../errors/codes.js';
import type { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import { type AssociationPolicy, judgeCaller, REJECTIONS, type Rejection } from './association-policy.js';
import { runScpAssociation, type ScpAssociation } from './scp-association.js';
import type { AssociationInfo, StoreHandler } from './store-scp.js';

/** Connections that have not asked for an association yet may be this many on top of the associations. */
const SPARE_CONNECTIONS = 64;

export interface RefusedAssociation {
  readonly code: ErrorCode;
  readonly callingAe: string;
  readonly calledAe: string;
  readonly remoteAddress: string;
}

export interface ScpOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
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
  /** Asked at each association: why nothing new is taken just now. */
  readonly admission?: () => GatewayError | undefined;
  readonly refused?: (refusal: RefusedAssociation) => void;
}

export interface OpenAssociation extends AssociationInfo {
  readonly instanceCount: number;
  readonly bytes: number;
}

export interface Scp {
  readonly port: number;
  associations(): readonly OpenAssociation[];
  /** Takes no new association, lets the open ones end within `graceMs`, then aborts them. */
  close(graceMs: number): Promise<void>;
}

/** Starts to listen. Rejects with the listener's error when the port cannot be had. */
export async function startScp(options: ScpOptions): Promise<Scp> {
  const open = new Set<ScpAssociation>();
  let closing = false;

  const judge = async (
    caller: Omit<AssociationInfo, 'id' | 'openedAtMs'>,
  ): Promise<Rejection | undefined> => {
    const rejection = overload(caller) ?? (await judgeCaller(options.policy, caller, resolveHost));
    if (rejection !== undefined) {
      options.log.warn({
        event: 'association.rejected',
        code: rejection.code,
        remoteAddress: caller.remoteAddress,
      });
      options.refused?.({ code: rejection.code, ...caller });
    }
    return rejection;
  };

  const overload = (caller: { readonly remoteAddress: string }): Rejection | undefined => {
    if (closing) return REJECTIONS.SHUTTING_DOWN;
    const refusal = options.admission?.();
    if (refusal !== undefined) {
      return refusal.code === 'SHUTTING_DOWN' ? REJECTIONS.SHUTTING_DOWN : REJECTIONS.SPOOL_ABOVE_WATERMARK;
    }
    const associated = [...open].filter((each) => each.info() !== undefined);
    const ofCaller = associated.filter((each) => each.remoteAddress === caller.remoteAddress);
    return associated.length >= options.maxAssociations || ofCaller.length >= options.maxAssociationsPerCaller
      ? REJECTIONS.ASSOCIATION_LIMIT
      : undefined;
  };

  const server = createServer({ noDelay: true, keepAlive: true }, (socket: Socket) => {
    if (open.size >= options.maxAssociations + SPARE_CONNECTIONS) {
      socket.destroy();
      return;
    }
    const association = runScpAssociation({ ...options, socket, judge });
    open.add(association);
    void association.ended.then(() => open.delete(association));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  const address = server.address();

  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    associations: () =>
      [...open].flatMap((association) => {
        const info = association.info();
        return info === undefined
          ? []
          : [{ ...info, instanceCount: association.instanceCount(), bytes: association.bytes() }];
      }),
    async close(graceMs) {
      closing = true;
      server.close();
      const ended = Promise.all([...open].map((association) => association.ended));
      for (const association of open) if (association.info() === undefined) association.abort();
      let timer: NodeJS.Timeout | undefined;
      const grace = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, graceMs);
      });
      await Promise.race([ended, grace]);
      clearTimeout(timer);
      for (const association of open) association.abort();
      await ended;
    },
  };
}

async function resolveHost(hostName: string): Promise<readonly string[]> {
  try {
    return (await lookup(hostName, { all: true })).map(({ address }) => address);
  } catch {
    // A name that cannot be resolved lets nobody in.
    return [];
  }
}
