/**
 * DICOM over TLS (PS3.15 B.9 to B.13) in both directions, by one certificate: a door that makes connections which come
 * in secure before anything of DICOM is read from them, and connections to PACS on which nothing of DICOM leaves before
 * theirs is known. Certificates are judged here, not by OpenSSL alone: a CA or a pin will do.
 *
 * No session is gone on with later: associations are few, and every one of them has its certificate looked at.
 */
import { isIP, type Socket } from 'node:net';
import { connect, createServer, type Server, TLSSocket } from 'node:tls';
import { plainFingerprint } from '../domain/fingerprint.js';
import { GatewayError } from '../errors/gateway-error.js';
import type { Log } from '../observe/log.js';
import type { CallerCertificate } from './association-policy.js';
import { type TlsFiles, type TlsMaterial, watchTlsMaterial } from './dicom-tls-material.js';
import { MIN_DH_BITS } from './dicom-tls-profile.js';
import { judgeCertificate, wordsForFailedCall } from './dicom-tls-words.js';

export interface DicomTlsOptions {
  readonly files: TlsFiles;
  /** SHA-256 of certificates that are taken without a CA: 64 lower hex digits. */
  readonly pins: readonly string[];
  readonly clientCertificates: 'required' | 'optional';
  readonly log: Log;
  /** See `TlsMaterialOptions`. */
  readonly lookEveryMs?: number;
}

export interface DoorOptions {
  /** A handshake that takes longer is given up. */
  readonly handshakeTimeoutMs: number;
  /** Called with each connection that is secure, and whose certificate is taken. */
  readonly entered: (socket: TLSSocket) => void;
  readonly refused: (refusal: { readonly remoteAddress: string; readonly reason: string }) => void;
}

export interface TlsDoor {
  /** Makes an accepted TCP connection secure. */
  take(socket: Socket): void;
  /** Ends the connections that have not finished their handshake. */
  close(): void;
}

export interface DicomTls {
  /** Of our certificate, as it is now: 64 lower hex digits. */
  fingerprint(): string;
  openDoor(options: DoorOptions): TlsDoor;
  /**
   * Connects, and emits `secureConnect` when the certificate of the PACS has been found good; nothing may be written
   * before. Emits `error` with PACS_UNTRUSTED where it is not.
   */
  connect(to: { readonly host: string; readonly port: number }): TLSSocket;
  /** Stops looking at the files; open connections go on. */
  close(): void;
}

/** How an association is protected, for logs and the dashboard. */
export interface TlsFacts {
  /** The version: `TLSv1.2` or `TLSv1.3`; absent without TLS. */
  readonly tls?: string;
  /** The cipher suite as RFCs call it, e.g. `TLS_AES_128_GCM_SHA256`. */
  readonly cipher?: string;
  /** SHA-256 of the certificate of the other end: 64 lower hex digits. */
  readonly certificate?: string;
}

/** @throws CONFIG_INVALID, KEY_UNREADABLE, KEY_LOCKED */
export async function openDicomTls(options: DicomTlsOptions): Promise<DicomTls> {
  const { files, pins, clientCertificates, log } = options;
  const servers = new Set<Server>();
  const material = await watchTlsMaterial({
    files,
    log,
    ...(options.lookEveryMs === undefined ? {} : { lookEveryMs: options.lookEveryMs }),
    // Connections that are open keep what they were made with.
    changed: (changed) => {
      for (const server of servers) server.setSecureContext(changed.options);
    },
  });
  return {
    fingerprint: () => material.current().fingerprint,
    openDoor(door) {
      const handshakes = new Map<string, Socket>();
      const server = createTlsServer(material.current(), {
        ...door,
        entered: (socket) => {
          handshakes.delete(farEndOf(socket));
          door.entered(socket);
        },
        pins,
        clientCertificates,
        log,
      });
      servers.add(server);
      return {
        take(socket) {
          const farEnd = farEndOf(socket);
          handshakes.set(farEnd, socket);
          socket.once('close', () => handshakes.delete(farEnd));
          server.emit('connection', socket);
        },
        close() {
          servers.delete(server);
          for (const socket of handshakes.values()) socket.destroy();
        },
      };
    },
    connect: ({ host, port }) => connectVerified(host, port, material.current(), pins),
    close: () => material.close(),
  };
}

export function tlsFactsOf(socket: Socket): TlsFacts {
  if (!(socket instanceof TLSSocket)) return {};
  const certificate = certificateOf(socket)?.fingerprint;
  return {
    tls: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher().standardName,
    ...(certificate === undefined ? {} : { certificate }),
  };
}

/** What the other end has shown, of a connection that came through the door: there it was found good. */
export function certificateOf(socket: Socket): CallerCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  return {
    fingerprint: plainFingerprint(certificate.fingerprint256),
    isFor: (name) =>
      (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined,
  };
}

type DoorParts = DoorOptions & Pick<DicomTlsOptions, 'pins' | 'clientCertificates' | 'log'>;

/** A server that listens to nothing itself: connections are handed to it. */
function createTlsServer(material: TlsMaterial, parts: DoorParts): Server {
  const { pins, clientCertificates, log } = parts;
  const refuse = (remoteAddress: string, reason: string, fingerprint?: string) => {
    log.warn({ event: 'dicom_tls.refused', remoteAddress, fingerprint, reason });
    parts.refused({ remoteAddress, reason });
  };
  const server = createServer({
    ...material.options,
    requestCert: true,
    // Judged below: OpenSSL knows nothing of pins.
    rejectUnauthorized: false,
    handshakeTimeout: parts.handshakeTimeoutMs,
  });
  server.on('secureConnection', (socket) => {
    const remoteAddress = socket.remoteAddress ?? '';
    const objection = judgeCertificate(socket, pins, Date.now());
    const isWelcome =
      objection === undefined || (objection.fingerprint === '' && clientCertificates === 'optional');
    if (isWelcome) {
      parts.entered(socket);
      return;
    }
    socket.on('error', () => undefined);
    socket.destroy();
    const { fingerprint, words } = objection;
    if (fingerprint === '') refuse(remoteAddress, words);
    else refuse(remoteAddress, `its certificate ${fingerprint} is not taken: ${words}`, fingerprint);
  });
  server.on('tlsClientError', (error, socket) => {
    const { remoteAddress = '' } = socket;
    // After a timeout Node leaves it open.
    socket.destroy();
    const words = wordsForFailedCall(error);
    if (words !== undefined) refuse(remoteAddress, words);
    else log.debug({ event: 'dicom_tls.broken', remoteAddress, reason: String(error) });
  });
  return server;
}

/** The same for a connection before and after it was made secure. */
export function farEndOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function connectVerified(
  host: string,
  port: number,
  { context }: TlsMaterial,
  pins: readonly string[],
): TLSSocket {
  const socket = connect({
    host,
    port,
    // RFC 6066 §3: literal addresses are not permitted as a server name.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    secureContext: context,
    minDHSize: MIN_DH_BITS,
    // Judged below: OpenSSL knows nothing of pins.
    rejectUnauthorized: false,
  });
  socket.setNoDelay(true);
  socket.setKeepAlive(true);
  // The first listener: whoever waits for the same event finds a socket that is good, or destroyed.
  socket.once('secureConnect', () => {
    const objection = judgeCertificate(socket, pins, Date.now());
    if (objection === undefined) return;
    const { fingerprint, words } = objection;
    socket.destroy(
      new GatewayError(
        'PACS_UNTRUSTED',
        `the certificate of ${host}:${port}, ${fingerprint}, is not taken: ${words}; expected one for the name ${host} that a CA of dimse.tls.caFile vouches for, or one of dimse.tls.certificateFingerprints`,
        { facts: { fingerprint } },
      ),
    );
  });
  return socket;
}
