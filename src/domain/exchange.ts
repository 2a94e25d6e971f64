/**
 * A place where envelopes wait for whoever takes them: an FTPS server, a hub, a folder. It lies between sites none of
 * which can be called; it can open nothing.
 */
import type { KeyObject } from 'node:crypto';

/** How a server is told from an impostor, and who we are towards it. */
export interface ServerTrust {
  /** SHA-256 fingerprints of its TLS certificate: 64 lower hex digits. Any of them will do. */
  readonly certificateFingerprints: readonly string[];
  /** PEM of the CA that vouches for its certificate, where fingerprints are not pinned. */
  readonly certificateAuthority?: string;
}

interface Place {
  readonly name: string;
  /** Time between two looks into the inbox, in milliseconds. */
  readonly pollMs: number;
  /** What becomes of an envelope there when it is durable here. */
  readonly afterTaking: 'delete' | 'move';
}

export interface FtpsExchange extends Place {
  readonly type: 'ftps';
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Read anew for each login, so that it can be changed while the bridge runs. */
  password(): Promise<string>;
  readonly trust: ServerTrust;
  /** Show our TLS certificate as well. */
  readonly clientCertificate: boolean;
  /** Folder on the server; `{peer}` stands for the receiver's id. */
  readonly outbox?: string;
  readonly inbox?: string;
}

export interface HubExchange extends Place {
  readonly type: 'hub';
  /** Base of its API, `https://host:port`. */
  readonly url: string;
  readonly trust: ServerTrust;
  /** Bearer token, where the hub knows us by one instead of our certificate. */
  token?(): Promise<string>;
  /** Envelopes travel within envelopes for the hub, sealed to this X25519 key of it. */
  readonly nested?: { readonly id: string; readonly encryptionKey: KeyObject };
}

export interface FolderExchange extends Place {
  readonly type: 'folder';
  /** Folder of this machine; `{peer}` stands for the receiver's id. */
  readonly outbox?: string;
  readonly inbox?: string;
  /** A file that has not changed for this long is whole. */
  readonly settleMs: number;
}

export type Exchange = FtpsExchange | HubExchange | FolderExchange;

/** Whether there is an inbox that can be emptied. */
export function hasInbox(exchange: Exchange): boolean {
  return exchange.type === 'hub' || exchange.inbox !== undefined;
}

/** A folder's name with the id of the site that it is for. */
export function folderFor(template: string, siteId: string): string {
  return template.replaceAll('{peer}', siteId).replaceAll('{site}', siteId);
}
