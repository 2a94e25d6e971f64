/**
 * The connection that one transfer's data go over: passive, to the control connection's own address, encrypted, going
 * on with the control connection's TLS session, which servers ask for as a proof that it is the same client.
 */
import { once } from 'node:events';
import { isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { GatewayError } from '../../errors/gateway-error.js';
import { checkCertificate, tlsOptions } from './certificate.js';
import { classifyFtpError } from './classify.js';
import type { FtpsConnection } from './connection.js';

export interface DataConnection {
  readonly socket: TLSSocket;
  /** Resolves when the handshake is over and the certificate is the right one: not a byte may go before. */
  readonly verified: Promise<void>;
}

/**
 * Servers begin TLS when the command has come that the data are for, so this resolves before the handshake.
 * @param onread gets what the server sends, in place of a stream
 * @throws PEER_UNREACHABLE, PEER_REFUSED when the server wants the data at another address, and what `order` throws
 */
export async function openDataConnection(
  connection: FtpsConnection,
  onread?: OnReadOpts,
): Promise<DataConnection> {
  const { options, timeouts } = connection;
  const host = connection.remoteAddress;
  if (host === undefined) throw new GatewayError('PEER_UNREACHABLE', 'the connection is closed');
  const port = await askPort(connection, host);
  const { session } = connection;
  const socket = connectTls({
    ...tlsOptions(options),
    port,
    // The host's name is what its certificate says; its address is the one that we talk to already.
    lookup: (_name, { all }, found) => {
      const family = isIP(host);
      if (all === true) found(null, [{ address: host, family }]);
      else found(null, host, family);
    },
    ...(session === undefined ? {} : { session }),
    ...(onread === undefined ? {} : { onread }),
  });
  connection.adopt(socket);
  socket.on('session', (fresh: Buffer) => connection.renewSession(fresh));
  // Whoever waits for the socket hears of its errors; one that comes later must not end the process.
  socket.on('error', () => undefined);
  try {
    await within(timeouts.connectMs, socket, once(socket, 'connect'));
  } catch (error) {
    socket.destroy();
    throw classifyFtpError(error, 'a data connection');
  }
  const verified = verify(connection, socket);
  verified.catch(() => undefined);
  return { socket, verified };
}

async function verify({ options, timeouts }: FtpsConnection, socket: TLSSocket): Promise<void> {
  try {
    await within(timeouts.connectMs + timeouts.replyMs, socket, once(socket, 'secureConnect'));
    checkCertificate(socket, options.trust, true);
  } catch (error) {
    socket.destroy();
    throw classifyFtpError(error, 'a data connection');
  }
}

/** EPSV (RFC 2428), which names no address; else PASV, whose address must be the one that we talk to already. */
async function askPort(connection: FtpsConnection, host: string): Promise<number> {
  if (!connection.lacks.has('EPSV')) {
    const reply = await connection.ask('EPSV');
    const port = /\(([!-~])\1\1(\d{1,5})\1\)/.exec(reply.message)?.[2];
    if (reply.code === 229 && port !== undefined) return Number(port);
    connection.lacks.add('EPSV');
  }
  const reply = await connection.order('PASV');
  const numbers = /(?<!\d)(\d{1,3}(?:,\d{1,3}){5})(?!\d)/.exec(reply.message)?.[1]?.split(',').map(Number);
  if (numbers === undefined || numbers.some((number) => number > 255)) {
    throw new GatewayError('PEER_REFUSED', 'the answer to PASV names no address and port', {
      facts: { reply: reply.code },
    });
  }
  const [high = 0, low = 0] = numbers.slice(4);
  const address = numbers.slice(0, 4).join('.');
  // An IPv4 address may be written as one of IPv6 (RFC 4291 §2.5.5.2).
  if (address !== host.replace(/^::ffff:/i, '')) {
    throw new GatewayError('PEER_REFUSED', 'the server wants the data at another address than its own', {
      facts: { address },
    });
  }
  return high * 256 + low;
}

async function within(milliseconds: number, socket: Socket, work: Promise<unknown>): Promise<void> {
  const late = new GatewayError('PEER_UNREACHABLE', `no data connection within ${milliseconds} ms`);
  const timer = setTimeout(() => socket.destroy(late), milliseconds);
  try {
    await work;
  } finally {
    clearTimeout(timer);
  }
}
