/** What the FTPS transport is made from, and how long it waits for what. */
import type { ServerTrust } from '../../domain/exchange.js';
import { GatewayError } from '../../errors/gateway-error.js';
import type { ClientIdentity } from '../client-identity.js';

/** All in milliseconds, above 0. */
export interface FtpsTimeouts {
  /** For a TCP connection, and for a TLS handshake. */
  readonly connectMs: number;
  /** For the answer to a command. */
  readonly replyMs: number;
  /** A transfer in which nothing moves for so long is given up. */
  readonly stallMs: number;
  /** From the last byte sent to the server's word that it has them all; it may still be writing gigabytes. */
  readonly storedMs: number;
  /** How long a connection is kept for whoever comes next. */
  readonly idleMs: number;
}

export const DEFAULT_TIMEOUTS: FtpsTimeouts = {
  connectMs: 15_000,
  replyMs: 60_000,
  stallMs: 90_000,
  storedMs: 600_000,
  idleMs: 15_000,
};

export interface FtpsOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Asked for at each login, when it is a function. */
  readonly password: string | (() => Promise<string>);
  readonly trust: ServerTrust;
  /** Shown to servers that ask for a certificate. */
  readonly clientIdentity?: ClientIdentity;
  /** Folder on the server that envelopes are put into: absolute, or seen from where a login leads. */
  readonly outbox?: string;
  /** Folder on the server that envelopes are taken from. */
  readonly inbox?: string;
  /** What becomes of an envelope that was taken: removed, or moved to `<inbox>/done`. */
  readonly afterTaking: 'delete' | 'move';
  /** Who claims: this bridge, and no other that takes from the same inbox; 8 to 32 lower hex digits. */
  readonly claimer: string;
  /** Instead of DEFAULT_TIMEOUTS. */
  readonly timeouts?: Partial<FtpsTimeouts>;
}

/**
 * A folder as it goes into commands, without a slash at its end.
 * @throws PEER_REFUSED when the config has none
 * @throws CONFIG_INVALID when a name in it has a control character, or a space at an end, which commands cannot carry
 */
export function folderPath(folder: string | undefined, which: 'outbox' | 'inbox'): string {
  if (folder === undefined) {
    throw new GatewayError('PEER_REFUSED', `the config names no ${which} on this server`);
  }
  checkPath(folder);
  return folder === '/' ? '' : folder.replace(/\/+$/, '');
}

/** @throws CONFIG_INVALID */
function checkPath(path: string): void {
  if (/^[^\0-\x1f\x7f]+$/.test(path) && path === path.trim() && !path.startsWith('-')) return;
  throw new GatewayError(
    'CONFIG_INVALID',
    'a path on the server is empty, or has a character it must not have',
  );
}

/** Where envelopes go that were taken, inside the inbox, when they are moved. */
export const DONE_FOLDER = 'done';
