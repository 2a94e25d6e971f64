/**
 * The connections of one transport: each operation has one to itself, and the last one is kept for a while, since a
 * login costs eight round trips.
 */
import { GatewayError, isGatewayError } from '../../errors/gateway-error.js';
import { FtpsConnection } from './connection.js';
import type { FtpsOptions } from './options.js';

/** RFC 959 §4.2.2: not logged in. */
const LOGIN_REFUSED = 530;

export interface ConnectionPool {
  /**
   * Does `work` with a connection that nobody else uses meanwhile, and that is closed when `signal` says so or `work`
   * fails.
   * @throws CANCELLED, what `FtpsConnection.open` throws, and what `work` throws
   */
  use<T>(signal: AbortSignal, work: (connection: FtpsConnection) => Promise<T>): Promise<T>;
  /** Ends the one that is kept, and keeps none from now on. */
  close(): void;
}

export function createConnectionPool(options: FtpsOptions): ConnectionPool {
  let kept: { connection: FtpsConnection; timer: NodeJS.Timeout } | undefined;
  let ended = false;
  let hasLoggedIn = false;

  const open = async (signal: AbortSignal): Promise<FtpsConnection> => {
    try {
      const connection = await FtpsConnection.open(options, signal);
      hasLoggedIn = true;
      return connection;
    } catch (error) {
      throw hasLoggedIn ? refusedForNow(error) : error;
    }
  };

  const takeKept = () => {
    const found = kept;
    kept = undefined;
    clearTimeout(found?.timer);
    return found?.connection;
  };
  const keep = (connection: FtpsConnection) => {
    if (ended || kept !== undefined || connection.closed) {
      connection.close();
      return;
    }
    const timer = setTimeout(() => takeKept()?.close(), connection.timeouts.idleMs);
    kept = { connection, timer };
  };

  return {
    async use(signal, work) {
      const idle = takeKept();
      const connection = idle !== undefined && (await isAlive(idle, signal)) ? idle : await open(signal);
      try {
        const result = await connection.during(signal, () => work(connection));
        keep(connection);
        return result;
      } catch (error) {
        connection.close();
        throw error;
      }
    },
    close() {
      ended = true;
      takeKept()?.close();
    },
  };
}

/** ProFTPD answers one client too many with 530, as it does a wrong password; but this login has worked before. */
function refusedForNow(error: unknown): unknown {
  if (!isGatewayError(error) || error.code !== 'PEER_REFUSED' || error.facts['reply'] !== LOGIN_REFUSED)
    return error;
  const text =
    'the server refuses a login that worked before: it has too many clients, or the password changed';
  return new GatewayError('PEER_BUSY', text, { cause: error, facts: { reply: LOGIN_REFUSED } });
}

/** A server may have hung up, and a firewall may have forgotten it without a word. */
async function isAlive(connection: FtpsConnection, signal: AbortSignal): Promise<boolean> {
  if (connection.closed) return false;
  const timer = setTimeout(() => connection.close(), connection.timeouts.connectMs);
  try {
    return await connection.during(signal, async () => (await connection.ask('NOOP')).code < 400);
  } catch {
    connection.close();
    return false;
  } finally {
    clearTimeout(timer);
  }
}
