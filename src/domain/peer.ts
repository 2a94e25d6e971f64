/** The remote systems that the configuration names: bridges (peers) and the local PACS. */
import type { KeyObject } from 'node:crypto';
import type { AeAddress, AeTitle } from './ae-title.js';
import type { TimeWindow } from './time-window.js';

/** Whose words an envelope is written in: the specification's own, or those of jmix-js, jmix-rs, jmix-php. */
export const DIALECT_NAMES = ['canon', 'js', 'rs', 'php'] as const;

export type DialectName = (typeof DIALECT_NAMES)[number];

/** Another bridge. */
export interface Peer {
  /** Organisation id: `sender.id` and `receiver[].id` of its manifests. */
  readonly id: string;
  readonly name: string;
  readonly contact: string;
  /** Base of its API, `https://host:port`; absent for a peer that cannot be called. */
  readonly url?: string;
  /** The exchange that envelopes for it are put into; absent where it is called by its url, or only sends to us. */
  readonly via?: string;
  /** X25519 public key that studies for it are sealed to; absent for a peer that only sends to us. */
  readonly encryptionKey?: KeyObject;
  /** The directory is asked for its keys; until it has told them, studies wait. */
  readonly directory?: boolean;
  /** What studies for it are sealed as; `canon` when absent. */
  readonly dialect?: DialectName;
  /** `jmix` when absent; `openpgp`: the whole envelope goes as one OpenPGP message. */
  readonly seal?: 'jmix' | 'openpgp';
  /** `expected` when absent; `none`: its software sends no receipts, so a delivery ends when it is handed over. */
  readonly receipts?: 'expected' | 'none';
  /** Ed25519 public keys pinned for its signatures: by the config, by pairing, or announced by one of these. */
  readonly signingKeys: readonly KeyObject[];
  /** Fingerprints of its OpenPGP primary keys, upper hex; none when absent. */
  readonly openpgpFingerprints?: readonly string[];
  /** SHA-256 fingerprints of its TLS certificate: 64 lower hex digits. */
  readonly certificateFingerprints: readonly string[];
  /** PEM of the CA that vouches for its TLS certificate, where fingerprints are not pinned. */
  readonly certificateAuthority?: string;
  /** Names of the PACS that get what this peer sends. */
  readonly deliverTo: readonly string[];
  /** Accept envelopes of this peer that carry no signature at all. */
  readonly allowUnsigned: boolean;
  readonly limits: PeerLimits;
}

/** What we ask of the line to one peer. */
export interface PeerLimits {
  /** Envelopes on their way to it at one time; one more for those that are urgent. */
  readonly places: number;
  /** Bytes per second that we send to it, all envelopes together; as fast as the line allows when absent. */
  readonly bytesPerSecond?: number;
  /** When envelopes may go to it, local time; at any time when empty. Urgent ones always may. */
  readonly windows: readonly TimeWindow[];
}

/** A local PACS that inbound studies are stored to, and what it accepts. */
export interface Pacs extends AeAddress {
  readonly name: string;
  readonly callingAe: AeTitle;
  /** Call it with the AE title of the modality that sent the instance, where that is known. */
  readonly passCallingAe: boolean;
  /** By TLS. */
  readonly tls: boolean;
  /** Given by user identity negotiation; the password is read from its file for each association. */
  readonly user?: { readonly name: string; readonly passwordFile?: string };
  /** The only transfer syntaxes that are proposed to it; what each instance is in when absent. */
  readonly transferSyntaxes?: readonly string[];
  /** What it does not take as it is may be converted without loss. */
  readonly transcode: boolean;
  readonly maxPduBytes: number;
  /** Associations at one time for each study. */
  readonly associations: number;
  /** C-STOREs outstanding on one association, as far as it agrees. */
  readonly asyncOperations: number;
  readonly timeouts: {
    readonly connectTimeoutMs: number;
    readonly associationTimeoutMs: number;
    readonly responseTimeoutMs: number;
  };
  /** An idle association is kept open so long. */
  readonly keepOpenMs: number;
  readonly paused: boolean;
  readonly commitment: 'off' | 'offered' | 'required';
  readonly commitmentTimeoutMs: number;
}
