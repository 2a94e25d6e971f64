/** The remote systems that the configuration names: bridges (peers) and the local PACS. */
import type { KeyObject } from 'node:crypto';
import type { AeAddress, AeTitle } from './ae-title.js';

/** Another bridge. */
export interface Peer {
  /** Organisation id: `sender.id` and `receiver[].id` of its manifests. */
  readonly id: string;
  readonly name: string;
  readonly contact: string;
  /** Base of its API, `https://host:port`; absent for a peer that only sends to us. */
  readonly url?: string;
  /** X25519 public key that studies for it are sealed to; absent for a peer that only sends to us. */
  readonly encryptionKey?: KeyObject;
  /** Ed25519 public keys pinned for its signatures. */
  readonly signingKeys: readonly KeyObject[];
  /** SHA-256 fingerprints of its TLS certificate: 64 lower hex digits. */
  readonly certificateFingerprints: readonly string[];
  /** PEM of the CA that vouches for its TLS certificate, where fingerprints are not pinned. */
  readonly certificateAuthority?: string;
  /** Names of the PACS that get what this peer sends. */
  readonly deliverTo: readonly string[];
  /** Accept envelopes of this peer that carry no signature at all. */
  readonly allowUnsigned: boolean;
}

/** A local PACS that inbound studies are stored to. */
export interface Pacs extends AeAddress {
  readonly name: string;
  readonly callingAe: AeTitle;
}
